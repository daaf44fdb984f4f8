"""What must hold of the objects that the chart prints, for all valid values.

The objects are compared with the checks that users run, and with the manifests that the values declare
(support.expected_manifests). Mutants of the chart are judged by the same invariants: each notices some that no other
does.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from agent_identities.bundled import chart_path
from agent_identities.chart.objects import KubeObject, Objects, thaw
from agent_identities.checks import registry as checks
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity
from support import called_templates, expected_manifests
from support.cases import Case

Json = dict[str, Any]
ADMISSION: Final = "admissionregistration.k8s.io"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A sentence about every install; ``broken`` yields a sentence for each thing that is wrong."""

    id: str
    says: str
    broken: Callable[[Case, Objects], Iterable[str]]


# ---- by the checks that users run


def _by(check: checks.Check) -> Invariant:
    def broken(case: Case, objects: Objects) -> Iterator[str]:
        install = checks.Install(objects, case.declaration, _catalogue())
        for found in check.run(install):
            if found.severity is Severity.ERROR:
                yield str(found.message)

    return Invariant(f"check:{check.id}", check.title, broken)


@cache
def _catalogue() -> Catalogue:
    return Catalogue.load(chart_path() / "files" / "risk-catalogue.json")


# ---- by what the values declare


def _expected(
    what: str, says: str, kinds: tuple[str, ...], make: Callable[[expected_manifests.Plan], Iterator[Json]]
) -> Invariant:
    def broken(case: Case, objects: Objects) -> Iterator[str]:
        wanted = Objects.from_manifests(make(case.plan))
        found = {key: obj for key, obj in objects.items() if key.kind in kinds}
        yield from (f"{key} is declared, but missing" for key in wanted.keys() - found.keys())
        yield from (f"{key} is not declared" for key in found.keys() - wanted.keys())
        for key in wanted.keys() & found.keys():
            if thaw(wanted[key].body) != thaw(found[key].body):
                yield f"{key} is not as declared: {_difference(wanted[key], found[key])}"

    return Invariant(what, says, broken)


def _difference(wanted: KubeObject, found: KubeObject) -> str:
    """The top-level fields that differ, with both values."""
    was, now = thaw(wanted.body), thaw(found.body)
    return "; ".join(
        f"{field}: expected {json.dumps(was.get(field))[:300]}, found {json.dumps(now.get(field))[:300]}"
        for field in sorted(was.keys() | now.keys())
        if was.get(field) != now.get(field)
    )


# ---- guards: the objects around the expressions

_GUARDS: Final = {
    "defaultAccount": ("default-account",),
    "runAs": ("run-as", "run-as-revisions"),
    "tokens": ("tokens", "tokens-certificates"),
    "tokenSecrets": ("token-secrets",),
    "bindings": ("bindings", "bindings-finalizers"),
    "roles": ("roles",),
    "accounts": ("accounts",),
    "labels": ("labels",),
    "networkPolicies": ("network-policies",),
    "trustAnchor": ("trust-anchor",),
    "records": ("records",),
    "impersonation": ("impersonation",),
    "ephemeralContainers": ("ephemeral-containers",),
    "exec": ("exec",),
    "quarantine": ("quarantine", "quarantine-pods", "quarantine-bindings"),
}
_NAMES_AGENTS: Final = ("tokens", "short-tokens")
"""The others cover every ServiceAccount of the namespace; those of quarantine name the quarantined agents."""


def _guards(case: Case, objects: Objects) -> Iterator[str]:
    plan, given = case.plan, case.merged["guards"]
    names: dict[str, list[str]] = {}
    for key, suffixes in _GUARDS.items():
        if given["enabled"] and given[key]["enabled"] and (key != "quarantine" or plan.quarantined):
            names |= {
                f"{plan.target.release}.{plan.namespace}.{suffix}": given[key]["validationActions"]
                for suffix in suffixes
            }
    if given["enabled"] and given["runAs"]["enabled"] and _have_kinds(given.get("controllers") or ()):
        name = f"{plan.target.release}.{plan.namespace}.run-as-controllers"
        names[name] = given["runAs"]["validationActions"]
    yield from _pairs(plan, objects, "Validating", names)
    short = given["shortTokens"]["enabled"]
    wanted = given["enabled"] and (short is True or (short == "auto" and plan.minor >= 36))
    mutating: dict[str, list[str]] = {f"{plan.target.release}.{plan.namespace}.short-tokens": []} if wanted else {}
    yield from _pairs(plan, objects, "Mutating", mutating)


def _have_kinds(controllers: Iterable[str | dict[str, Any]]) -> bool:
    """Whether one of guards.controllers has a kind. Users of the others send no custom resource."""
    return any((one if isinstance(one, str) else one["name"]) != "openshell" for one in controllers)


def _pairs(plan: expected_manifests.Plan, objects: Objects, kind: str, names: dict[str, list[str]]) -> Iterator[str]:
    policies = {obj.name: obj for obj in objects.of_kind(f"{kind}AdmissionPolicy")}
    bindings = {obj.name: obj for obj in objects.of_kind(f"{kind}AdmissionPolicyBinding")}
    if policies.keys() != names.keys() or bindings.keys() != names.keys():
        yield f"{kind} policies are {sorted(policies)}, their bindings {sorted(bindings)}, not {sorted(names)}"
    for name, policy in policies.items():
        yield from _around(plan, policy)
        if policy.body["spec"].get("failurePolicy") != "Fail":
            yield f"{name} lets requests through where it cannot be evaluated"
        text = json.dumps(thaw(policy.body["spec"]))
        if name.rsplit(".", 1)[1] in _NAMES_AGENTS:
            everyone = [plan.proxy["name"], *(agent.name for agent in (*plan.agents, *plan.quarantined))]
            yield from (f"{name} does not know {one}" for one in everyone if f"'{one}'" not in text)
        if name.rsplit(".", 1)[1].startswith("quarantine"):
            yield from (f"{name} does not know {one.name}" for one in plan.quarantined if f"'{one.name}'" not in text)
        if name.endswith(".impersonation"):
            proxied = [agent.name for agent in plan.agents if agent.proxied]
            yield from (f"{name} does not know {one}" for one in proxied if f"'{one}'" not in text)
    for name, binding in bindings.items():
        yield from _around(plan, binding)
        wanted = {"policyName": name} | ({"validationActions": names[name]} if names.get(name) else {})
        if thaw(binding.body["spec"]) != wanted:
            yield f"the binding {name} is not {wanted}"


def _around(plan: expected_manifests.Plan, obj: KubeObject) -> Iterator[str]:
    if thaw(obj.body["metadata"]) != plan.meta(obj.name, namespace=""):
        yield f"{obj.key}: its metadata are not those of this release"


_RBAC: Final = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
_AROUND: Final = ("NetworkPolicy", "CiliumNetworkPolicy", "FlowSchema", "PriorityLevelConfiguration")
_ADMISSION: Final = tuple(
    f"{kind}AdmissionPolicy{what}" for kind in ("Validating", "Mutating") for what in ("", "Binding")
)
_KINDS: Final = {"ServiceAccount", "Deployment", *_RBAC, *_AROUND, *_ADMISSION}


def _kinds(case: Case, objects: Objects) -> Iterator[str]:
    for key in objects:
        if key.kind not in _KINDS and not (case.files and key.kind == called_templates.KIND):
            yield f"{key}: the chart makes no such thing"


_NOT_OF_OBJECTS: Final = ("null-entry", "release-size")
CHECKS: Final = tuple(_by(check) for check in checks.all_checks() if check.id not in _NOT_OF_OBJECTS)
INVARIANTS: Final[tuple[Invariant, ...]] = (
    *CHECKS,
    _expected("accounts", "one ServiceAccount an agent, as declared", ("ServiceAccount",), expected_manifests.accounts),
    _expected(
        "workloads",
        "pods are as declared, restricted, with the declared token",
        ("Deployment",),
        expected_manifests.workloads,
    ),
    _expected(
        "rights", "roles and bindings are as declared, by name, label and rule", _RBAC, expected_manifests.rights
    ),
    _expected(
        "surroundings", "networks and fair shares open what is declared", _AROUND, expected_manifests.surroundings
    ),
    Invariant("guards", "each guard that is on has its policy, its binding and its names", _guards),
    Invariant("kinds", "nothing else is made", _kinds),
    Invariant(
        "risks",
        "the templates find the risks that Python finds",
        lambda _case, found: called_templates.risks_broken(found),
    ),
    Invariant(
        "parents",
        "a parent's pods are the agent's",
        lambda case, found: called_templates.parents_broken(case.plan, found),
    ),
)
