"""What the chart is rendered with to judge it: examples, cases of the chart's ci/, edge cases and invalid values."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from agent_identities.bundled import chart_path
from agent_identities.chart import yaml
from agent_identities.chart.helm import Target
from agent_identities.chart.values import Values
from agent_identities.declaration import Declaration, declare
from support import called_templates, expected_manifests
from support.edge_cases import DIGITS, DIGITS_TARGET, INVALID, edge_cases
from support.invalid_pods import invalid_pods
from support.invalid_values import Invalid, invalid_values, reachable_blocks
from support.refusals import Refusal
from support.values_broken import RELATIONS, related

Json = dict[str, Any]
REPOSITORY: Final = Path(__file__).parents[2]
VERSION: Final = str(yaml.load((chart_path() / "Chart.yaml").read_text(), name="Chart.yaml")["version"])


@dataclass(frozen=True)
class Case:
    """Values for one release. ``refusal``: what the chart's message must say; None for valid values.

    ``files`` are added to those of the chart, or replace them. ``about``: the only template that the case tests;
    empty: all.
    """

    name: str
    given: Values
    target: Target = field(default_factory=Target)
    refusal: Refusal | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    about: str = ""

    def __str__(self) -> str:
        return self.name

    @cached_property
    def merged(self) -> Mapping[str, Any]:
        """The values as templates read them."""
        return self.given.merged(chart_path())

    @cached_property
    def declaration(self) -> Declaration:
        """What the values declare."""
        version = self.target.kube_version
        return declare(self.merged, namespace=self.target.namespace, kube_version=version)

    @cached_property
    def plan(self) -> expected_manifests.Plan:
        """The values and the declaration, as the expected manifests are made of them."""
        return expected_manifests.plan(self.merged, self.declaration, self.target, VERSION)


def values_files() -> list[Path]:
    """The examples in values/ and the test values in the chart's ci/, the one with the most in it first."""
    ci, examples = chart_path() / "ci", REPOSITORY / "values"
    return list(dict.fromkeys([ci / "everything.yaml", *sorted(ci.glob("*.yaml")), *sorted(examples.glob("*.yaml"))]))


def cases() -> list[Case]:
    """Every case; the first is the one with the most in it. No two have the same name."""
    ci, examples = chart_path() / "ci", REPOSITORY / "values"
    found = [Case(path.stem, Values.read([path])) for path in values_files()]
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
    found += _fixed([*invalid_values(), *invalid_pods(), *INVALID])
    found += [Case(f"reaches {cidr}", Values(overrides=given)) for cidr, given in reachable_blocks().items()]
    found += [_refused("invalid", one) for one in (*invalid_values(), *invalid_pods())]
    found += [Case(f"edge: {one.name}", one.values, one.target, about=one.about) for one in edge_cases()]
    found += [_refused("invalid edge", one) for one in INVALID]
    found += _by_callers(everything)
    for relation in RELATIONS:
        broken = related({}, relation)
        found.append(
            Case(
                f"invalid: {broken.place}",
                Values(overrides=broken.values),
                refusal=Refusal(broken.place, pasted=False),
            )
        )
    return _numbered(found)


def _refused(what: str, one: Invalid) -> Case:
    return Case(f"{what}: {one}", Values(overrides=one.values), one.target, one.refusal)


def _fixed(invalid: list[Invalid]) -> list[Case]:
    """The values that readers of the messages write, each once."""
    found = {json.dumps(one.fixed): one for one in reversed(invalid) if one.fixed is not None}
    return [Case(f"fixed: {one}", Values(overrides=one.fixed or {})) for one in reversed(found.values())]


def _numbered(found: list[Case]) -> list[Case]:
    """The same cases, with a number behind a name that is there before."""
    seen: Counter[str] = Counter()
    for number, case in enumerate(found):
        seen[case.name] += 1
        if seen[case.name] > 1:
            found[number] = replace(case, name=f"{case.name} #{seen[case.name]}")
    return found


PARENT: Final = "templates/_parent.tpl"


def _by_callers(everything: Values) -> list[Case]:
    """What parent charts ask for, and the rules of the risk catalogue."""
    parent, risks = (
        {called_templates.PATH: called_templates.PARENT},
        {called_templates.PATH: called_templates.RISKS_CALLER},
    )

    def asking(caller: Json) -> Values:
        return Values(everything.sources, {"global": {"caller": caller}})

    every = [name for name in Case("", everything).plan.agents if not name.proxied]
    names = [agent.name for agent in every]
    asked = {
        "parent": asking({"agents": names}),
        "parent, by an alias": asking({"agents": names, "chart": "fleet"}),
        "parent, whether they run": asking({"agents": ["worker", "suspect", "triage-2"], "parts": ["runs"]}),
    }
    found = [Case(name, given, files=parent, about=PARENT) for name, given in asked.items()]
    digits = Values(everything.sources, DIGITS | {"global": {"caller": {"agents": [*names, "3e3"]}}})
    found += [
        Case("parent, digits", digits, DIGITS_TARGET, files=parent, about=PARENT),
        Case("risks", Values(overrides=called_templates.risks_values()), files=risks, about="templates/_risks.tpl"),
    ]

    def refused(name: str, given: Values, refusal: Refusal) -> None:
        found.append(Case(f"invalid call: {name}", given, refusal=refusal, files=parent, about=PARENT))

    for caller, named, pasted in called_templates.PARENTS_REFUSED:
        for part in ("runs", "pod", "podLabels", "podSpec", "podSecurityContext", "volumeMounts"):
            if part != "runs" or "suspect" not in caller["agents"]:
                refusal = Refusal(f"agent-identities.{part}", named, pasted)
                refused(f"{part}: {named[0]}", asking(caller | {"parts": [part]}), refusal)
    runs = "agent-identities.runs"
    refused(
        "no chart", asking({"agents": ["worker"], "alone": True}), Refusal(runs, ('"agent-identities"', "none"), False)
    )
    first = ", ".join(f"agent-{number:02}" for number in range(20))
    for count, known in ((0, "none"), (25, first)):
        agents: Json = {f"agent-{number:02}": {} for number in range(count)}
        given = Values(overrides={"agents": agents, "global": {"caller": {"agents": ["nobody"]}}})
        refused(f"{count} agents", given, Refusal(runs, ('"nobody"', known)))
    return found
