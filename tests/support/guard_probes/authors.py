"""Who asks. All hold EVERYTHING in the whole cluster, so that no refusal is RBAC's, and beside it what is said here."""

from dataclasses import dataclass

from support.guarded import use
from support.server import Json
from support.subjects import BIND_AGENTS, RBAC_GROUP

GUARDED_BY = ("run-as", "bindings", "quarantine")
"""The policies whose `delete` opens them, and those that belong to them."""


def policies(*names: str, verb: str = "delete", resource: str = "validatingadmissionpolicies") -> Json:
    """The rule that lets its holder delete policies of the place."""
    given = [f"$release.$ns.{name}" for name in names]
    return {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": [resource],
        "verbs": [verb],
        "resourceNames": given,
    }


def _rule(group: str, resource: str, verb: str) -> Json:
    return {"apiGroups": [group], "resources": [resource], "verbs": [verb]}


@dataclass(frozen=True, slots=True)
class Author:
    """A user by name, "" the administrator; what it holds in the agents' namespace, elsewhere, and in the cluster."""

    user: str
    group: str = ""
    here: tuple[Json, ...] = ()
    elsewhere: tuple[Json, ...] = ()
    cluster: tuple[Json, ...] = ()


ANY_TOKEN = "request-any-token"
_LOOKS_LIKE_IT = (
    _rule("", "pods", "use"),
    _rule("apps", "serviceaccounts", "use"),
    _rule("", "serviceaccounts", "bind-agents"),
    _rule("", "pods", ANY_TOKEN),
    _rule("apps", "serviceaccounts", ANY_TOKEN),
    _rule(RBAC_GROUP, "roles", "bind-agents"),
    _rule("", "rolebindings", "bind-agents"),
    _rule(RBAC_GROUP, "rolebindings", "use"),
)
_OTHERS = ("tokens", "exec", "run-as-revisions", "quarantine-pods", "quarantine-bindings", "default-account")

AUTHORS = {
    "administrator": Author(""),
    "dev": Author("dev@$ns", here=_LOOKS_LIKE_IT),
    "user of a": Author("user-of-a@$ns", here=(use("a"),)),
    "user of all": Author("user-of-all@$ns", here=(use(),)),
    "user elsewhere": Author(
        "user-elsewhere@$ns", elsewhere=(use(), use(verb=ANY_TOKEN), BIND_AGENTS, use(verb="bind-agents"))
    ),
    "breaker": Author("breaker@$ns", here=(use("a", "proxied", verb=ANY_TOKEN),)),
    "user and breaker": Author("user-and-breaker@$ns", here=(use(), use(verb=ANY_TOKEN))),
    "binder": Author("binder@$ns", here=(BIND_AGENTS,)),
    "all verbs": Author("all-verbs@$ns", here=(use(), use(verb=ANY_TOKEN), BIND_AGENTS)),
    "remover": Author("remover@$ns", cluster=(policies(*GUARDED_BY),)),
    "almost remover": Author(
        "almost-remover@$ns",
        cluster=(
            policies(*_OTHERS),
            policies(*GUARDED_BY, verb="get"),
            policies(*GUARDED_BY, resource="validatingadmissionpolicybindings"),
            policies(*GUARDED_BY, resource="mutatingadmissionpolicies"),
        ),
    ),
    "kubelet": Author("kubelet@$ns", group="system:nodes"),
    "agent a": Author("system:serviceaccount:$ns:a"),
    "agent b": Author("system:serviceaccount:$ns:b", here=(use(), use(verb=ANY_TOKEN))),
    "proxy": Author("system:serviceaccount:$ns:agent-proxy", here=(use(),)),
    "quarantined agent": Author("system:serviceaccount:$ns:suspect", here=(use(),)),
    "operator": Author("system:serviceaccount:$ns:operator", here=(use(),)),
    "a of elsewhere": Author("system:serviceaccount:$e:a"),
    "b of elsewhere": Author("system:serviceaccount:$e:b", here=(use(),)),
    "controller": Author("system:serviceaccount:kube-system:probes-$ns"),
    "controller manager": Author("system:kube-controller-manager", here=(_rule("*", "*", "create"),)),
    # what guards.deployers gives, and nothing else
    "deployer": Author("deployer@$ns"),
    "member": Author("member@$ns", group="platform@$ns"),
    "pipeline": Author("system:serviceaccount:$e:pipeline-$ns"),
}
