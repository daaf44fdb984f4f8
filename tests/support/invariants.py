"""What must hold of the chart, whatever the values: each invariant with an idea of its own of what is right.

The objects are held against the checks that users run, and against the objects that the values promise, worked out a
second time (support/promised). What is refused is held against what its message must say. Mutants of the chart are
judged by the same invariants: each has some that no other one sees.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from agent_identities.bundled import chart_path
from agent_identities.chart import yaml
from agent_identities.chart.helm import Target
from agent_identities.chart.objects import KubeObject, Objects, thaw
from agent_identities.chart.values import Values
from agent_identities.checks import registry as checks
from agent_identities.declaration import Declaration, declare
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity
from support import probes, promised
from support.corners import DIGITS, DIGITS_TARGET, corners
from support.mistakes import refused, taken
from support.values_broken import RELATIONS, related

Json = dict[str, Any]
REPOSITORY: Final = Path(__file__).parents[2]
VERSION: Final = str(yaml.load((chart_path() / "Chart.yaml").read_text(), name="Chart.yaml")["version"])
ADMISSION: Final = "admissionregistration.k8s.io"


@dataclass(frozen=True)
class Case:
    """Values for one release. ``message``: what the refusal must say; None for values that are right.

    ``files`` stand beside those of the chart, or in place of them. ``about`` is the one template that it is of use for.
    """

    name: str
    given: Values
    target: Target = field(default_factory=Target)
    message: tuple[str, ...] | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    about: str = ""

    def __str__(self) -> str:
        return self.name

    @cached_property
    def merged(self) -> Mapping[str, Any]:
        """The values as templates see them."""
        return self.given.merged(chart_path())

    @cached_property
    def declaration(self) -> Declaration:
        version = self.target.kube_version
        return declare(self.merged, namespace=self.target.namespace, kube_version=version)

    @cached_property
    def plan(self) -> promised.Plan:
        return promised.plan(self.merged, self.target, VERSION)


@dataclass(frozen=True, slots=True)
class Invariant:
    """A sentence about every install; ``broken`` says what is wrong, and nothing where all is well."""

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


_CATALOGUE: list[Catalogue] = []


def _catalogue() -> Catalogue:
    if not _CATALOGUE:
        _CATALOGUE.append(Catalogue.load(chart_path() / "files" / "risk-catalogue.json"))
    return _CATALOGUE[0]


# ---- by what the values promise


def _promised(
    what: str, says: str, kinds: tuple[str, ...], make: Callable[[promised.Plan], Iterator[Json]]
) -> Invariant:
    def broken(case: Case, objects: Objects) -> Iterator[str]:
        wanted = Objects.from_manifests(make(case.plan))
        found = {key: obj for key, obj in objects.items() if key.kind in kinds}
        yield from (f"{key} is promised, and not there" for key in wanted.keys() - found.keys())
        yield from (f"{key} is there, and not promised" for key in found.keys() - wanted.keys())
        for key in wanted.keys() & found.keys():
            if thaw(wanted[key].body) != thaw(found[key].body):
                yield f"{key} is not as promised"

    return Invariant(what, says, broken)


# ---- guards: the objects around the expressions

_GUARDS: Final = {
    "defaultAccount": ("default-account",),
    "runAs": ("run-as", "run-as-revisions"),
    "tokens": ("tokens",),
    "tokenSecrets": ("token-secrets",),
    "bindings": ("bindings",),
    "ephemeralContainers": ("ephemeral-containers",),
    "exec": ("exec",),
    "quarantine": ("quarantine", "quarantine-pods", "quarantine-bindings"),
}
_NAMES_NOBODY: Final = (
    "default-account",
    "exec",
    "run-as-revisions",
    "quarantine",
    "quarantine-pods",
    "quarantine-bindings",
)


def _guards(case: Case, objects: Objects) -> Iterator[str]:
    plan, given = case.plan, case.merged["guards"]
    names: dict[str, list[str]] = {}
    for key, suffixes in _GUARDS.items():
        if given["enabled"] and given[key]["enabled"] and (key != "quarantine" or plan.quarantined):
            names |= {
                f"{plan.target.release}.{plan.namespace}.{suffix}": given[key]["validationActions"]
                for suffix in suffixes
            }
    yield from _pairs(plan, objects, "Validating", names)
    short = given["shortTokens"]["enabled"]
    wanted = given["enabled"] and (short is True or (short == "auto" and plan.minor >= 36))
    mutating: dict[str, list[str]] = {f"{plan.target.release}.{plan.namespace}.short-tokens": []} if wanted else {}
    yield from _pairs(plan, objects, "Mutating", mutating)


def _pairs(plan: promised.Plan, objects: Objects, kind: str, names: dict[str, list[str]]) -> Iterator[str]:
    policies = {obj.name: obj for obj in objects.of_kind(f"{kind}AdmissionPolicy")}
    bindings = {obj.name: obj for obj in objects.of_kind(f"{kind}AdmissionPolicyBinding")}
    if policies.keys() != names.keys() or bindings.keys() != names.keys():
        yield f"{kind} policies are {sorted(policies)}, their bindings {sorted(bindings)}, not {sorted(names)}"
    for name, policy in policies.items():
        yield from _around(plan, policy)
        if policy.body["spec"].get("failurePolicy") != "Fail":
            yield f"{name} lets requests through where it cannot be evaluated"
        text = json.dumps(thaw(policy.body["spec"]))
        if name.rsplit(".", 1)[1] not in _NAMES_NOBODY:
            everyone = [plan.proxy["name"], *(agent.name for agent in (*plan.agents, *plan.quarantined))]
            yield from (f"{name} does not know {one}" for one in everyone if f"'{one}'" not in text)
        if name.rsplit(".", 1)[1].startswith("quarantine"):
            yield from (f"{name} does not know {one.name}" for one in plan.quarantined if f"'{one.name}'" not in text)
    for name, binding in bindings.items():
        yield from _around(plan, binding)
        wanted = {"policyName": name} | ({"validationActions": names[name]} if names.get(name) else {})
        if thaw(binding.body["spec"]) != wanted:
            yield f"the binding {name} is not {wanted}"


def _around(plan: promised.Plan, obj: KubeObject) -> Iterator[str]:
    if thaw(obj.body["metadata"]) != plan.meta(obj.name, namespace=""):
        yield f"{obj.key}: its metadata are not those of this release"


_RBAC: Final = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
_AROUND: Final = ("NetworkPolicy", "FlowSchema", "PriorityLevelConfiguration")
_ADMISSION: Final = tuple(
    f"{kind}AdmissionPolicy{what}" for kind in ("Validating", "Mutating") for what in ("", "Binding")
)
_KINDS: Final = {"ServiceAccount", "Deployment", *_RBAC, *_AROUND, *_ADMISSION}


def _kinds(case: Case, objects: Objects) -> Iterator[str]:
    for key in objects:
        if key.kind not in _KINDS and not (case.files and key.kind == probes.KIND):
            yield f"{key}: the chart makes no such thing"


CHECKS: Final = tuple(_by(check) for check in checks.all_checks() if check.id != "release-size")
INVARIANTS: Final[tuple[Invariant, ...]] = (
    *CHECKS,
    _promised("accounts", "one ServiceAccount an agent, as declared", ("ServiceAccount",), promised.accounts),
    _promised(
        "workloads", "pods are as declared, restricted, with the declared token", ("Deployment",), promised.workloads
    ),
    _promised("rights", "roles and bindings are as declared, by name, label and rule", _RBAC, promised.rights),
    _promised("surroundings", "networks and fair shares open what is declared", _AROUND, promised.surroundings),
    Invariant("guards", "each guard that is on has its policy, its binding and its names", _guards),
    Invariant("kinds", "nothing else is made", _kinds),
    Invariant(
        "risks", "the templates find the risks that Python finds", lambda _case, found: probes.risks_broken(found)
    ),
    Invariant(
        "parents", "a parent's pods are the agent's", lambda case, found: probes.parents_broken(case.plan, found)
    ),
)


# ---- what they are asked about


def cases() -> list[Case]:
    """Every example and case of the repository, releases of other names and versions, and each mistake and its cure."""
    ci, examples = chart_path() / "ci", REPOSITORY / "values"
    files = [ci / "everything.yaml", *sorted(ci.glob("*.yaml")), *sorted(examples.glob("*.yaml"))]
    found = [Case(path.stem, Values.read([path])) for path in dict.fromkeys(files)]
    everything = Values.read([ci / "everything.yaml"])
    per_agent = Values.read([ci / "everything.yaml"], {"bindings": "perAgent", "namespaceOverride": ""})
    found += [
        Case("everything, elsewhere", everything, Target("blue", "other", "1.37.0")),
        Case("everything, a binding each", per_agent, Target("blue", "other")),
        Case("hardened, before 1.36", Values.read([examples / "hardened.yaml"]), Target(kube_version="1.35.4")),
        Case("proxied, before 1.36", Values.read([examples / "proxied.yaml"]), Target(kube_version="1.34.4")),
        Case("production, a long name", Values.read([examples / "production.yaml"]), Target("r" * 53, "n" * 63)),
        Case("nothing", Values()),
    ]
    found += [Case(f"right: {_short(one)}", Values(overrides=one)) for one in taken()]
    found += [
        Case(f"wrong: {one.parts[0]}: {one.parts[-1][:30]}", Values(overrides=one.values), message=one.parts)
        for one in refused()
    ]
    found += [Case(one.name, one.values, one.target, one.message, about=one.about) for one in corners()]
    found += _by_probes(everything)
    for relation in RELATIONS:
        broken = related({}, relation)
        found.append(
            Case(f"wrong: {broken.place}", Values(overrides=broken.values), message=(broken.place, "1 problem"))
        )
    return _numbered(found)


def _numbered(found: list[Case]) -> list[Case]:
    """The same, and those that are called alike told apart."""
    seen: Counter[str] = Counter()
    for number, case in enumerate(found):
        seen[case.name] += 1
        if seen[case.name] > 1:
            found[number] = replace(case, name=f"{case.name} #{seen[case.name]}")
    return found


PARENT: Final = "templates/_parent.tpl"


def _by_probes(everything: Values) -> list[Case]:
    """What charts that depend on this one ask for, and the catalogue's rules."""
    parent, risks = {probes.PATH: probes.PARENT}, {probes.PATH: probes.RISKS_PROBE}

    def asking(probe: Json) -> Values:
        return Values(everything.sources, {"global": {"probe": probe}})

    every = [name for name in Case("", everything).plan.agents if not name.proxied]
    names = [agent.name for agent in every]
    found = [
        Case("parent", asking({"agents": names}), files=parent, about=PARENT),
        Case("parent, by an alias", asking({"agents": names, "chart": "fleet"}), files=parent, about=PARENT),
        Case(
            "parent, whether they run",
            asking({"agents": ["worker", "suspect", "triage-2"], "parts": ["runs"]}),
            files=parent,
            about=PARENT,
        ),
        Case(
            "parent, digits",
            Values(everything.sources, DIGITS | {"global": {"probe": {"agents": [*names, "3"]}}}),
            DIGITS_TARGET,
            files=parent,
            about=PARENT,
        ),
        Case("risks", Values(overrides=probes.risks_values()), files=risks, about="templates/_risks.tpl"),
    ]
    for probe, message in probes.PARENTS_REFUSED:
        for part in ("runs", "pod", "podLabels", "podSpec", "volumeMounts"):
            if part != "runs" or "suspect" not in probe["agents"]:
                asked = asking(probe | {"parts": [part]})
                found.append(
                    Case(f"wrong parent: {message[0]}: {part}", asked, message=message, files=parent, about=PARENT)
                )
    alone = asking({"agents": ["worker"], "alone": True})
    message = ('no enabled dependency "agent-identities"', "Its dependencies: none")
    found.append(Case("wrong parent: of no chart", alone, message=message, files=parent, about=PARENT))
    for count, known in ((0, "Known agents: none"), (25, "agent-18, agent-19. Use one of them")):
        agents: Json = {f"agent-{number:02}": {} for number in range(count)}
        asked = Values(overrides={"agents": agents, "global": {"probe": {"agents": ["nobody"]}}})
        found.append(Case(f"wrong parent: of {count}", asked, message=('"nobody"', known), files=parent, about=PARENT))
    return found


def _short(given: Json) -> str:
    return json.dumps(given)[:60]
