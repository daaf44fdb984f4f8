"""One least-privilege, short-lived identity on Kubernetes for each AI agent, and the proof of what each can do."""

__version__ = "0.1.0"
