"""guards.roles: who may change the rules that agents hold."""

from support.guard_probes.model import ELSEWHERE, END, HERE, PER_AGENT, ProbeRequest, Table, create, patch
from support.server import Json

TABLE = Table("roles", "roles")
_WIDER: Json = {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}


def role(name: str, namespace: str = HERE) -> ProbeRequest:
    return create("roles" if namespace else "clusterroles", {"metadata": {"name": name}, **_WIDER}, namespace)


def widen(name: str, namespace: str = HERE, change: Json = _WIDER) -> ProbeRequest:
    return patch("roles" if namespace else "clusterroles", name, change, namespace)


_OURS = "$ns:$release:reader-role"
_WORDS = (
    ": agents of $ns hold its rules, or could. Change the tiers in the values, or allow the request: guards: "
    "{deployers: [{kind: User, name: "
)
for title, name, request in (
    ("a Role of a tier", "Role reader-role", widen("reader-role")),
    ("a Role of a tier elsewhere", f"Role {_OURS}", widen(_OURS, ELSEWHERE)),
    ("a ClusterRole of a tier", f"ClusterRole {_OURS}", widen(_OURS, "")),
    ("a new Role", "Role of-tomorrow", role("of-tomorrow")),
    ("a new Role of the release elsewhere", "Role $ns:$release:new", role("$ns:$release:new", ELSEWHERE)),
    ("a new ClusterRole of the release", "ClusterRole $ns:$release:new", role("$ns:$release:new", "")),
):
    for who in ("dev", "user of all", "almost remover", "agent a", "wildcards of Kubernetes"):
        TABLE.refuses(title, who, request, f" may not write {name}{_WORDS}", "bindAgents: true}]}" + END)
    for who in ("binder", "remover", "administrator"):
        TABLE.admits(title, who, request)
_ON = {"modes": (PER_AGENT,)}
for title, request in (
    ("an existing Role elsewhere", role("existing", ELSEWHERE)),
    ("an existing ClusterRole", role("$ns-existing", "")),
):
    TABLE.refuses(title, "dev", request, "may not write ", _WORDS, **_ON)
    TABLE.admits(title, "binder", request, **_ON)
TABLE.admits("the name of the existing Role as a ClusterRole", "dev", role("existing-not", ""))
TABLE.admits("the name of the existing ClusterRole as a Role", "dev", role("$ns-existing", ELSEWHERE))
TABLE.admits("the rules, by the controller of aggregation", "aggregation", widen(_OURS, ""))
TABLE.admits("a label of a Role", "dev", widen("reader-role", change={"metadata": {"labels": {"x": "y"}}}))
TABLE.admits("a Role elsewhere", "dev", role("reader-role", ELSEWHERE))
TABLE.admits("a ClusterRole", "dev", role("$ns-reader-role", ""))
TABLE.admits("a name that only looks like ours", "dev", role("x$ns:$release:reader-role", ELSEWHERE))
_aggregated = {"metadata": {"name": "$ns:$release:new"}, "aggregationRule": {"clusterRoleSelectors": [{}]}}
TABLE.refuses(
    "what is aggregated", "dev", widen(_OURS, "", {"aggregationRule": {"clusterRoleSelectors": [{}]}}), _WORDS
)
