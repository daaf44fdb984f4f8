"""One least-privilege, short-lived identity on Kubernetes for each AI agent, and the proof of what each can do."""

from importlib.metadata import version

__version__ = version("agent-identities")
