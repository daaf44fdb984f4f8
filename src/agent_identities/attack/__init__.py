"""The attack job: the requests of an attacker with an agent's token, and what stops them."""
