"""Who asks. All hold EVERYTHING in the whole cluster, so that no refusal is RBAC's, and beside it what is said here.

A ServiceAccount asks as by its token, with the extra field of a bound token, unless it is said to be impersonated.
"""

from dataclasses import dataclass

from support.controller_kinds import KINDS
from support.guarded import EVERYTHING, use
from support.server import Json
from support.subjects import BIND_AGENTS, RBAC_GROUP

GUARDED_BY = (
    "run-as",
    "run-as-controllers",
    "bindings",
    "quarantine",
    "roles",
    "accounts",
    "labels",
    "network-policies",
    "trust-anchor",
    "records",
)
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
    """A user by name, "" the administrator; what it holds in each namespace, and in the cluster.

    ``here``: in the agents' namespace; ``release``: in the namespace of the release, which can be the same.
    """

    user: str
    group: str = ""
    release: tuple[Json, ...] = ()
    here: tuple[Json, ...] = ()
    elsewhere: tuple[Json, ...] = ()
    cluster: tuple[Json, ...] = ()
    impersonated: bool = False


EVERY_KIND: Json = {"apiGroups": sorted({kind.group for kind in KINDS}), "resources": ["*"], "verbs": ["*"]}
"""What everybody holds on the kinds of controllers."""
ANY_TOKEN = "request-any-token"
OWN_GROUP = "agent-identities"
_LOOKS_LIKE_IT = (
    *(
        _rule(group, resource, verb)
        for group, resource in (
            ("", "serviceaccounts"),
            ("", "agents"),
            (OWN_GROUP, "serviceaccounts"),
            (OWN_GROUP, "agents"),
            (OWN_GROUP, "agents/$e"),
            (RBAC_GROUP, "rolebindings"),
            (RBAC_GROUP, "agents"),
        )
        for verb in ("use", "bind-agents", ANY_TOKEN)
    ),
    _rule(OWN_GROUP, "agents/$ns", "get"),
)
_OTHERS = (
    "tokens",
    "exec",
    "run-as-revisions",
    "bindings-finalizers",
    "quarantine-pods",
    "quarantine-bindings",
    "default-account",
    "impersonation",
)

AUTHORS = {
    "administrator": Author(""),
    "dev": Author("dev@$ns", release=_LOOKS_LIKE_IT),
    "user of a": Author("user-of-a@$ns", release=(use("a"),)),
    "user of b": Author("user-of-b@$ns", release=(use("b"),)),
    "user of all": Author("user-of-all@$ns", release=(use(),)),
    "user elsewhere": Author(
        "user-elsewhere@$ns", elsewhere=(use(), use(verb=ANY_TOKEN), BIND_AGENTS, use(verb="bind-agents"))
    ),
    "breaker": Author("breaker@$ns", release=(use("a", "proxied", verb=ANY_TOKEN),)),
    "user and breaker": Author("user-and-breaker@$ns", release=(use(), use(verb=ANY_TOKEN))),
    "binder": Author("binder@$ns", release=(BIND_AGENTS,)),
    "all verbs": Author("all-verbs@$ns", release=(use(), use(verb=ANY_TOKEN), BIND_AGENTS)),
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
    "agent b": Author("system:serviceaccount:$ns:b", release=(use(), use(verb=ANY_TOKEN))),
    "proxy": Author("system:serviceaccount:$ns:agent-proxy", release=(use(),)),
    "quarantined agent": Author("system:serviceaccount:$ns:suspect", release=(use(),)),
    "operator": Author("system:serviceaccount:$ns:operator", release=(use(),)),
    "a of elsewhere": Author("system:serviceaccount:$e:a"),
    "b of elsewhere": Author("system:serviceaccount:$e:b", release=(use(),)),
    "wildcards here": Author("wildcards@$ns", here=(_rule("*", "*", "*"),)),
    "wildcards of Kubernetes": Author(
        "wildcards-of-kubernetes@$ns",
        release=tuple(_rule(group, "*", "*") for group in ("", "apps", "batch", RBAC_GROUP)),
    ),
    "impersonated a": Author("system:serviceaccount:$ns:a", impersonated=True),
    "impersonated proxied": Author("system:serviceaccount:$ns:proxied", impersonated=True),
    "impersonated operator": Author("system:serviceaccount:$ns:operator", impersonated=True),
    "impersonated elsewhere": Author("system:serviceaccount:$e:a", impersonated=True),
    "add-on": Author("system:serviceaccount:kube-system:add-on-$ns"),
    "controller": Author("system:serviceaccount:kube-system:deployment-controller", here=(EVERYTHING, EVERY_KIND)),
    "cleaner": Author(
        "system:serviceaccount:kube-system:generic-garbage-collector", release=(EVERYTHING,), here=(EVERYTHING,)
    ),
    "aggregation": Author("system:serviceaccount:kube-system:clusterrole-aggregation-controller"),
    "publisher": Author("system:serviceaccount:kube-system:root-ca-cert-publisher", here=(EVERYTHING,)),
    "controller of accounts": Author(
        "system:serviceaccount:kube-system:service-account-controller", here=(EVERYTHING,)
    ),
    "controller manager": Author("system:kube-controller-manager", here=(EVERYTHING, EVERY_KIND)),
    "user of x": Author("user-of-x@$ns", release=(use("*", *(f"x{number}" for number in range(9))),)),
    "workflows": Author("system:serviceaccount:$e:workflows-$ns"),
    "impersonated workflows": Author("system:serviceaccount:$e:workflows-$ns", impersonated=True),
    # what guards.deployers gives, and nothing else
    "deployer": Author("deployer@$ns"),
    "member": Author("member@$ns", group="platform@$ns"),
    "pipeline": Author("system:serviceaccount:$e:pipeline-$ns"),
}
