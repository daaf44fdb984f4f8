"""What can go wrong between asking for a binary and having it."""

from agent_identities.errors import AgentIdentitiesError


class ToolchainError(AgentIdentitiesError):
    """A binary cannot be used, found, built or downloaded; the text names it and the cure."""
