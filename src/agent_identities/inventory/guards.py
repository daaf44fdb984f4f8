"""Which guards of the chart close which ways into an agent, and which guards are in force on a cluster.

The table of guards is files/guards.json of the chart. That a guard covers a request is read from the policy on the
cluster.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from agent_identities.bundled import chart_path
from agent_identities.chart.objects import Key
from agent_identities.rbac import Request
from agent_identities.report.model import Finding, Location, Severity
from agent_identities.report.words import REINSTALL

Manifest = Mapping[str, Any]

TYPE_WARNING = "guard-type-warning"
_ADMISSION = "admissionregistration.k8s.io"
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
                "generic-garbage-collector",
                "namespace-controller",
                "root-ca-cert-publisher",
                "service-account-controller",
                "clusterrole-aggregation-controller",
                "storage-version-migrator-controller",
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


@cache
def closures() -> tuple[Closure, ...]:
    """The guards of the chart that close ways: files/guards.json."""
    table = json.loads((chart_path() / "files" / "guards.json").read_text(encoding="utf-8"))["policies"]
    return tuple(
        Closure(
            entry["guard"],
            policy,
            frozenset(entry["ways"]),
            tuple(Exemption(verb, entry["each"]) for verb in entry["verbs"]),
            entry["controllers"],
        )
        for policy, entry in table.items()
        if entry["ways"]
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
        "record-of-this-release",
        "leads-to-the-api-server",
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
    "trust-anchor": (("", "configmaps"),),
    "records": (("", "secrets"),),
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
        return bool(operation) and any(
            {group, "*"} & groups and {resource, "*"} & resources and {operation, "*"} & operations
            for groups, resources, operations in self.rules
        )


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of the release in one namespace. ``in_force``: by the end of the policy's name.

    ``policies`` and ``bindings`` are the names of the policies and of their bindings, also of those not in force.
    ``idle``: the keys in the values of guards that are installed, and refuse nothing. ``release_namespace``: where
    the verbs of exemptions are granted. ``type_warnings``: what the API server says of expressions that do not fit the
    types of the objects: (policy, field, warning).
    """

    in_force: Mapping[str, InForce]
    policies: frozenset[str] = frozenset()
    bindings: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    release_namespace: str = ""
    type_warnings: tuple[tuple[str, str, str], ...] = ()

    def closure(self, way: str, request: Request) -> tuple[Closure, InForce] | None:
        """The guard in force that refuses the request, and the data about it."""
        for closure in closures():
            guard = self.in_force.get(closure.policy)
            if guard is not None and way in closure.ways and guard.covers(request):
                return closure, guard
        return None


def possible_guard(way: str, request: Request) -> str:
    """The key in the values of the guard that would refuse the request; "" if there is none."""
    group, resource, operation = _attributes(request)
    if not operation:  # admission does not see reads
        return ""
    return next((c.guard for c in closures() if way in c.ways and (group, resource) in _COVERS[c.policy]), "")


def guards_in(namespace: str, policies: Iterable[Manifest], bindings: Iterable[Manifest]) -> Guards:
    """The guards of the agents' namespace: the policies that the chart made for it, with a binding that denies."""
    suffix = re.compile(rf"[^.]+\.{re.escape(namespace)}\.(.+)\Z")
    ours = {_name(each): (found[1], each) for each in policies if (found := suffix.match(_name(each)))}
    theirs = [each for each in bindings if (each.get("spec") or {}).get("policyName") in ours]
    denying = {each["spec"]["policyName"] for each in theirs if _denies(each["spec"])}
    in_force = {
        end: InForce(name, _rules(policy))
        for name, (end, policy) in ours.items()
        if name in denying and _unlimited(policy, namespace)
    }
    ends = {end for end, _ in ours.values()}
    idle = {closure.guard for closure in closures() if closure.policy in ends - in_force.keys()}
    release = next((_release_namespace(policy) for _, policy in ours.values()), "") or namespace
    warnings = tuple(warning for _, policy in ours.values() for warning in _type_warnings(policy))
    return Guards(in_force, frozenset(ours), frozenset(map(_name, theirs)), frozenset(idle), release, warnings)


def type_findings(guards: Iterable[Guards]) -> Iterator[Finding]:
    """A warning for each expression of a guard that the API server could not check against the types."""
    for policy, field, warning in sorted({each for one in guards for each in one.type_warnings}):
        yield Finding(
            TYPE_WARNING,
            Severity.WARNING,
            f"The API server reports that an expression of the guard {policy} does not fit the objects that it judges. "
            "The guard refuses a request for which the expression fails.",
            Location(Key(_ADMISSION, "ValidatingAdmissionPolicy", "", policy), field),
            (f"API server: {warning}",),
            (f"{REINSTALL} docs/versions.md lists the versions of Kubernetes that the chart was tested on.",),
        )


def _type_warnings(policy: Manifest) -> Iterator[tuple[str, str, str]]:
    checked = (policy.get("status") or {}).get("typeChecking") or {}
    for each in checked.get("expressionWarnings") or ():
        warning = " ".join(str(each.get("warning") or "").split())
        yield _name(policy), str(each.get("fieldRef") or ""), warning


def _release_namespace(manifest: Manifest) -> str:
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get("meta.helm.sh/release-namespace") or "")


def _denies(spec: Manifest) -> bool:
    """Whether a binding refuses, for all that its policy matches."""
    limits = spec.get("matchResources") or {}
    limited = any(value for key, value in limits.items() if key != "matchPolicy")
    return "Deny" in (spec.get("validationActions") or ()) and not limited and not spec.get("paramRef")


def _unlimited(policy: Manifest, namespace: str) -> bool:
    """Whether a policy is as the chart renders it in what it matches: in its namespace, with no further condition.

    The namespace is that of the agents or, for the records of Helm, that of the release.
    """
    spec = policy.get("spec") or {}
    constraints = spec.get("matchConstraints") or {}
    selector = constraints.get("namespaceSelector") or {}
    conditions = {each.get("name") for each in spec.get("matchConditions") or ()}
    return (
        spec.get("failurePolicy", "Fail") == "Fail"
        and bool(spec.get("validations"))
        and not selector.get("matchExpressions")
        and (selector.get("matchLabels") or {})
        in ({}, *({"kubernetes.io/metadata.name": name} for name in (namespace, _release_namespace(policy))))
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
