"""The errors a user can act on: the command prints them as they are and exits with 2, never with a traceback."""


class AgentIdentitiesError(Exception):
    """Something a user can mend.

    The text names the place, says what is wrong and what to do about it; it is shown as it stands.
    """


class ClusterError(AgentIdentitiesError):
    """A cluster could not be started, reached or ended."""


class ToolchainError(AgentIdentitiesError):
    """A binary is missing, unusable, or could not be built or downloaded."""
