"""The ways-in job: who can become an agent, from a dump of a cluster's objects."""
