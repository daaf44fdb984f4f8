"""guards.impersonation: what is written in the name of an agent comes by its token."""

from support.guard_probes.model import ELSEWHERE, END, HERE, ProbeRequest, Table, create, patch, remove
from support.guard_probes.stage import service
from support.server import Json

TABLE = Table("impersonation", "impersonation")


def _state(namespace: str = HERE) -> ProbeRequest:
    return create("configmaps", {"metadata": {"name": "state"}}, namespace)


_ROLE: Json = {"metadata": {"name": "$ns-new"}, "rules": []}
_WORDS = ": this requires a token of the agent, bound to a pod. Use the permissions of the user" + END
for name in ("a", "operator"):
    for verb, what, request in (
        ("create", "configmaps", _state()),
        ("create", "configmaps", _state(ELSEWHERE)),
        ("update", "pods", patch("pods", "simple", {"metadata": {"annotations": {"x": "y"}}})),
        ("update", "deployments", patch("deployments", "old/scale", {"spec": {"replicas": 0}})),
        ("delete", "pods", remove("pods", "simple")),
        ("create", "clusterroles", create("clusterroles", _ROLE, "")),
        ("create", "services", create("services", service("mine"))),
    ):
        TABLE.refuses(
            f"{verb} {what}",
            f"impersonated {name}",
            request,
            f"a user who impersonates system:serviceaccount:$ns:{name} may not {verb} {what}{_WORDS}",
        )
for who in ("agent a", "operator", "impersonated proxied", "impersonated elsewhere", "a of elsewhere", "dev", "add-on"):
    TABLE.admits("a ConfigMap", who, _state())
    TABLE.admits("a ConfigMap elsewhere", who, _state(ELSEWHERE))
