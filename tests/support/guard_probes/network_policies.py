"""guards.networkPolicies: who decides what agents reach."""

from support.guard_probes.model import ELSEWHERE, END, Table, create, patch, remove
from support.guard_probes.stage import policy
from support.server import Json

TABLE = Table("networkPolicies", "network-policies")
_OPEN: Json = {"spec": {"egress": [{}]}}
for verb, name, request in (
    ("write", "open", create("networkpolicies", policy("open"))),
    ("write", "there", patch("networkpolicies", "there", _OPEN)),
    ("delete", "there", remove("networkpolicies", "there")),
):
    for who in ("dev", "user of all", "almost remover", "agent a", "add-on", "wildcards of Kubernetes"):
        TABLE.refuses(
            f"{verb} {name}",
            who,
            request,
            f" may not {verb} the NetworkPolicy {name}: it decides what agents of $ns reach. Add the destination to "
            "the values: network: {destinations: ...}, or allow the request: guards: {deployers: [{kind: User, name: ",
            "bindAgents: true}]}" + END,
        )
    for who in ("binder", "remover", "cleaner", "controller manager", "administrator"):
        TABLE.admits(f"{verb} {name}", who, request)
TABLE.admits("elsewhere", "dev", create("networkpolicies", policy("open"), ELSEWHERE))
