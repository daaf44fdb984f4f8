"""What goes wrong with a cluster and can be mended by the user."""

from agent_identities.errors import AgentIdentitiesError


class ClusterError(AgentIdentitiesError):
    """A cluster could not be started, reached or ended: the text names the place and the cure."""
