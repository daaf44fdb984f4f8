"""Which guards of the chart close which ways into an agent, and which guards are in force on a cluster.

`CLOSURES` is derived from the templates in templates/guards and from docs/guards.md. A guard that is widened needs a
line here. That the guard covers a request is read from the policy on the cluster.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_identities.rbac import Request

Manifest = Mapping[str, Any]

_RBAC = "rbac.authorization.k8s.io"
GUARDS_GROUP = "agent-identities"
GUARDS_RESOURCE = "agents"
CONTROLLERS = frozenset(
    {
        *(
            f"system:serviceaccount:kube-system:{name}"
            for name in (
                "cronjob-controller",
                "daemon-set-controller",
                "deployment-controller",
                "job-controller",
                "replicaset-controller",
                "replication-controller",
                "statefulset-controller",
                "horizontal-pod-autoscaler",
                "generic-garbage-collector",
                "namespace-controller",
                "root-ca-cert-publisher",
                "service-account-controller",
                "clusterrole-aggregation-controller",
            )
        ),
        "system:kube-controller-manager",
        "system:serviceaccount:openshift-infra:serviceaccount-pull-secrets-controller",
    }
)
"""The users that the guards take for controllers (agent-identities.notAController)."""
_OPERATIONS = {
    "create": "CREATE",
    "update": "UPDATE",
    "patch": "UPDATE",
    "delete": "DELETE",
    "deletecollection": "DELETE",  # admission sees each object of the collection
}
_CONNECT = ("exec", "attach", "portforward", "proxy")


@dataclass(frozen=True, slots=True)
class Exemption:
    """A verb that exempts its holder from a guard, for one agent or for all.

    The verb is on the resource agents/<namespace of the agents> of the guards' own API group, in the namespace of the
    release.
    """

    verb: str
    each: bool = False


@dataclass(frozen=True, slots=True)
class Closure:
    """A guard that closes a way.

    ``guard`` is its key in the values, ``policy`` the end of the name of the policy, ``ways`` the ids of the ways.
    ``controllers``: the controllers of Kubernetes are exempt, by name.
    """

    guard: str
    policy: str
    ways: frozenset[str]
    exemptions: tuple[Exemption, ...] = ()
    controllers: bool = False


_USE = Exemption("use", each=True)
_USE_ALL = Exemption("use")
_BIND = Exemption("bind-agents")

CLOSURES: tuple[Closure, ...] = (
    Closure("runAs", "run-as", frozenset({"pods"}), (_USE,), controllers=True),
    Closure("runAs", "run-as-revisions", frozenset({"pods"}), (_USE_ALL,), controllers=True),
    Closure("tokens", "tokens", frozenset({"tokens"}), (_USE, Exemption("request-any-token", each=True))),
    Closure("tokenSecrets", "token-secrets", frozenset({"token-secrets"})),
    Closure("bindings", "bindings", frozenset({"bindings"}), (_BIND,)),
    Closure("roles", "roles", frozenset({"roles"}), (_BIND,), controllers=True),
    Closure("accounts", "accounts", frozenset({"account"}), (_BIND,), controllers=True),
    Closure("ephemeralContainers", "ephemeral-containers", frozenset({"exec"}), (_USE,)),
    Closure("exec", "exec", frozenset({"exec"}), (_USE_ALL,)),
)

_CHART_CONDITIONS = frozenset(
    {
        "not-a-controller",
        "not-a-listed-controller",
        "earlier-revision",
        "token-of-a-serviceaccount",
        "names-the-account",
        "gives-to-somebody",
        "role-of-agents",
        "changes-the-rules",
        "changes-the-account",
    }
)
"""The matchConditions of the chart. Another condition limits the guard."""

_COVERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "run-as": (
        *(("", each) for each in ("pods", "podtemplates", "replicationcontrollers")),
        *(("apps", each) for each in ("deployments", "replicasets", "statefulsets", "daemonsets")),
        *(("batch", each) for each in ("jobs", "cronjobs")),
    ),
    "run-as-revisions": (("apps", "controllerrevisions"), ("apps", "replicasets"), ("apps", "replicasets/scale")),
    "tokens": (("", "serviceaccounts/token"),),
    "token-secrets": (("", "secrets"),),
    "bindings": ((_RBAC, "rolebindings"), (_RBAC, "clusterrolebindings")),
    "roles": ((_RBAC, "roles"), (_RBAC, "clusterroles")),
    "accounts": (("", "serviceaccounts"),),
    "ephemeral-containers": (("", "pods/ephemeralcontainers"),),
    "exec": (*(("", f"pods/{each}") for each in _CONNECT), ("", "services/proxy")),
}
"""The requests that the chart's policies cover, for guards that are not installed."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A guard that refuses requests, for every ServiceAccount of the agents' namespace."""

    policy: str
    rules: tuple[tuple[frozenset[str], frozenset[str], frozenset[str]], ...]

    def covers(self, request: Request) -> bool:
        """Whether the policy matches the request, by group, resource and operation."""
        group, resource, operation = _attributes(request)
        return any(
            {group, "*"} & groups and {resource, "*"} & resources and {operation, "*"} & operations
            for groups, resources, operations in self.rules
        )


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of the release in one namespace. ``in_force``: by the end of the policy's name.

    ``policies`` and ``bindings`` are the names of the policies and of their bindings, also of those not in force.
    ``idle``: the keys in the values of guards that are installed, and refuse nothing. ``release_namespace``: where
    the verbs of exemptions are granted.
    """

    in_force: Mapping[str, InForce]
    policies: frozenset[str] = frozenset()
    bindings: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    release_namespace: str = ""

    def closure(self, way: str, request: Request) -> tuple[Closure, InForce] | None:
        """The guard in force that refuses the request, and the data about it."""
        for closure in CLOSURES:
            guard = self.in_force.get(closure.policy)
            if guard is not None and way in closure.ways and guard.covers(request):
                return closure, guard
        return None


def possible_guard(way: str, request: Request) -> str:
    """The key in the values of the guard that would refuse the request; "" if there is none."""
    group, resource, operation = _attributes(request)
    if not operation:  # admission does not see reads
        return ""
    return next((c.guard for c in CLOSURES if way in c.ways and (group, resource) in _COVERS[c.policy]), "")


def guards_in(namespace: str, policies: Iterable[Manifest], bindings: Iterable[Manifest]) -> Guards:
    """The guards of the agents' namespace: the policies that the chart made for it, with a binding that denies."""
    suffix = re.compile(rf"[^.]+\.{re.escape(namespace)}\.(.+)\Z")
    ours = {_name(each): (found[1], each) for each in policies if (found := suffix.match(_name(each)))}
    theirs = [each for each in bindings if (each.get("spec") or {}).get("policyName") in ours]
    denying = {each["spec"]["policyName"] for each in theirs if _denies(each["spec"])}
    in_force = {
        end: InForce(name, _rules(policy))
        for name, (end, policy) in ours.items()
        if name in denying and _unlimited(policy.get("spec") or {}, namespace)
    }
    ends = {end for end, _ in ours.values()}
    idle = {closure.guard for closure in CLOSURES if closure.policy in ends - in_force.keys()}
    release = next((_release_namespace(policy) for _, policy in ours.values()), "") or namespace
    return Guards(in_force, frozenset(ours), frozenset(map(_name, theirs)), frozenset(idle), release)


def _release_namespace(manifest: Manifest) -> str:
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get("meta.helm.sh/release-namespace") or "")


def _denies(spec: Manifest) -> bool:
    """Whether a binding refuses, for all that its policy matches."""
    limits = spec.get("matchResources") or {}
    limited = any(value for key, value in limits.items() if key != "matchPolicy")
    return "Deny" in (spec.get("validationActions") or ()) and not limited and not spec.get("paramRef")


def _unlimited(spec: Manifest, namespace: str) -> bool:
    """Whether a policy is as the chart renders it in what it matches: in its namespace, with no further condition."""
    constraints = spec.get("matchConstraints") or {}
    selector = constraints.get("namespaceSelector") or {}
    conditions = {each.get("name") for each in spec.get("matchConditions") or ()}
    return (
        spec.get("failurePolicy", "Fail") == "Fail"
        and bool(spec.get("validations"))
        and not selector.get("matchExpressions")
        and (selector.get("matchLabels") or {}) in ({}, {"kubernetes.io/metadata.name": namespace})
        and not any((constraints.get("objectSelector") or {}).values())
        and not constraints.get("excludeResourceRules")
        and conditions <= _CHART_CONDITIONS
    )


def _rules(policy: Manifest) -> tuple[tuple[frozenset[str], frozenset[str], frozenset[str]], ...]:
    rules = (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ()
    return tuple(
        (
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("operations") or ()),
        )
        for rule in rules
        if not rule.get("resourceNames")
    )


def _attributes(request: Request) -> tuple[str, str, str]:
    connects = request.resource in ("pods", "services", "nodes") and request.subresource in _CONNECT
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    return request.api_group, resource, "CONNECT" if connects else _OPERATIONS.get(request.verb, "")


def _name(manifest: Manifest) -> str:
    return str((manifest.get("metadata") or {}).get("name") or "")
