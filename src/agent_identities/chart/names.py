"""Names and labels of the chart, as templates/_names.tpl and templates/_labels.tpl write them."""

DEFAULT_RELEASE = "agents"
DEFAULT_NAMESPACE = "agent-system"
"""The release and its namespace, unless the user names others."""

AGENT_LABEL = "agent-identities/agent"
"""The label that names the agent on everything the chart makes for it."""

PROXY_LABEL = "agent-identities/proxy"
"""The label of the proxy's Deployment, pods and NetworkPolicy. The proxy's ServiceAccount does not have it."""

ADOPTED = "agent-identities/adopted"
"""The annotation of ServiceAccounts that another client made, and that the release has taken over."""

LABEL_LIMIT = 63
"""The maximum length of a label's value."""

INSTANCE_LABEL = "agent-identities/instance-of"
"""The label with the entry of the values, where the ServiceAccount has another name."""

TIER_LABEL = "agent-identities/tier"
"""The label that names the tier on the Roles that the chart makes of it."""

RELEASE_LABEL = "app.kubernetes.io/instance"
"""The label that names the release on everything the chart makes."""

CHART_LABEL, CHART_NAME = "app.kubernetes.io/name", "agent-identities"
"""The label that everything the chart makes has. The proxy's ServiceAccount has it, and not AGENT_LABEL."""

REMOVED_ANNOTATION = "agent-identities/removed"
"""The annotation of the proxy's RoleBinding with the agents that `agent-identities quarantine` removed: "a,b"."""

PROXY_TIER = "proxy"
"""The tier of the central role."""

AGENT_PLACEHOLDER = "{agent}"
"""Stands for the agent's name in the resourceNames of a tier."""

_CENTRAL_ROLE = "agent-proxy-role"


def values_path(entry: str) -> str:
    """Where an identity is declared in the values; ``entry`` is its key there, PROXY_TIER for the proxy."""
    return entry if entry == PROXY_TIER else f"agents.{entry}"


def agent_label(account: str, entry: str) -> str:
    """The value of AGENT_LABEL: the ServiceAccount, or its key in the values if the name is too long for a label."""
    return account if len(account) <= LABEL_LIMIT else entry


def role_name(tier: str, *, proxy: str, agent: str = "") -> str:
    """The Role that the chart makes of a tier, in the release's namespace.

    ``proxy`` is the proxy's ServiceAccount. ``agent`` is that of the agent for a tier whose rules hold {agent}, which
    has a Role for each agent; else "".
    """
    own = f"{agent}:" if agent else ""
    return f"{own}{proxy if tier == PROXY_TIER else tier}-role"


def binding_name(account: str, role: str, *, proxy: str, kind: str = "") -> str:
    """The RoleBinding of a ServiceAccount to a role, in the release's namespace with ``bindings: perAgent``.

    ``kind`` is the kind of an existing role; "" for a Role of the chart.
    """
    if kind:
        return f"{kind}:{account}:{role}"
    return f"{account}-binding" if account == proxy or role == _CENTRAL_ROLE else f"{account}:{role}"
