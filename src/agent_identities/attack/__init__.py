"""The attack job: send the requests of an attacker with an agent's token, and report what refused each request."""
