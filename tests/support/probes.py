"""Templates of the chart that only others call: parents, by probes that stand beside the chart's own files; and risks.

A probe prints objects of a kind of its own, which the invariants of this module read.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from agent_identities.chart.objects import Objects, thaw
from agent_identities.rbac import PolicyRule
from support import promised
from support.promised.workloads import deployment_of
from support.risks import PLACES, PROBE, RISKS, Rules, asked_of_templates, expected, near, resource_rules

Json = dict[str, Any]
KIND: Final = "Probe"

PATH: Final = "templates/first/of/all/probe.yaml"
"""Helm renders what lies deepest first; so a parent's probe finds nothing resolved."""

PARENT: Final = """\
{{- $probe := .Values.global.probe }}
{{- $charts := dict "agent-identities" $ "fleet" $ "f" $ "e" $ "d" $ "c" $ "b" $ "a" $ }}
{{- if $probe.alone }}{{ $charts = dict }}{{ end }}
{{- $root := dict "Chart" .Chart "Subcharts" $charts }}
{{- range $name := $probe.agents }}
{{- $call := dict "root" $root "agent" $name }}
{{- with $probe.chart }}{{ $_ := set $call "chart" . }}{{ end }}
---
apiVersion: probe/v1
kind: Probe
metadata: {name: {{ $name | quote }}}
{{- if $probe.parts }}
{{- range $part := $probe.parts }}
{{ $part }}: {{ include (printf "agent-identities.%s" $part) $call | quote }}
{{- end }}
{{- else }}
runs: {{ include "agent-identities.runs" $call | quote }}
labels: {{ include "agent-identities.podLabels" $call | fromYaml | toJson }}
{{- $more := dict "volumes" (list (dict "name" "tmp")) }}
spec: {{ include "agent-identities.podSpec" (merge $more $call) | fromYaml | toJson }}
bare: {{ include "agent-identities.podSpec" $call | fromYaml | toJson }}
mounts: {{ include "agent-identities.volumeMounts" $call | fromYamlArray | toJson }}
pod: {{ include "agent-identities.pod" $call | fromYaml | toJson }}
{{- end }}
{{- end }}
"""

RISKS_PROBE: Final = (
    PROBE.replace(".Values.cases", ".Values.global.cases")
    + "apiVersion: probe/v1\nkind: Probe\nmetadata: {name: risks}\n"
)


def _asked() -> Iterator[tuple[Rules, str | None]]:
    """Each bad rule in every place; of its neighbours every ninth, in one place after the other."""
    for number, risk in enumerate(one for one in RISKS.values() if resource_rules(one.bad)):
        yield from ((risk.bad, place) for place in PLACES)
        yield from ((rules, PLACES[number % len(PLACES)]) for rules in near(risk.bad)[number % 9 :: 9])
        for before in ("widgets", "widgets/status"):
            yield [replace(rule, **_behind(before, rule)) for rule in risk.bad], PLACES[number % len(PLACES)]


def _behind(resource: str, rule: PolicyRule) -> dict[str, tuple[str, ...]]:
    """The fields of a rule with something harmless before what counts."""
    fields = {"resources": (resource, *rule.resources), "verbs": ("frobnicate", "get", *rule.verbs)}
    return fields | ({"resource_names": ("own", *rule.resource_names)} if rule.resource_names else {})


ACTS_AS: Final = PolicyRule(("",), ("pods",), ("impersonate-on:serviceaccount:get",))
ASKED: Final = [*_asked(), *(([ACTS_AS], place) for place in PLACES)]


def risks_values() -> Json:
    """Values that ask for every bad rule of the catalogue and its neighbours."""
    return {"global": {"cases": asked_of_templates(ASKED)}}


def risks_broken(objects: Objects) -> Iterator[str]:
    """Where the templates find other risks than Python does, or refuse for others."""
    for obj in objects.of_kind(KIND):
        if obj.name != "risks":
            continue
        answers = thaw(obj.body)["cases"]
        if len(answers) != len(ASKED):
            yield f"{len(answers)} answers to {len(ASKED)} questions"
        for (rules, place), answer in zip(ASKED, answers, strict=False):
            wanted: dict[str, list[int]] = {}
            for risk, number in expected(rules, place):
                wanted.setdefault(risk, []).append(number)
            if answer["met"] != wanted:
                yield f"{[rule.to_manifest() for rule in rules]} in {place}: {answer['met']}, not {wanted}"


def parents_broken(plan: promised.Plan, objects: Objects) -> Iterator[str]:
    """Where a parent's pod would not be that of the agent."""
    agents = {agent.name: agent for agent in plan.agents}
    for obj in objects.of_kind(KIND):
        if obj.name == "risks":
            continue
        if "pod" not in obj.body:
            if obj.body["runs"] != ("true" if obj.name in agents else ""):
                yield f"{obj.name}: runs is {obj.body['runs']!r}"
            continue
        agent = agents[obj.name]
        made = deployment_of(plan, agent, {"image": "x"})["spec"]["template"]
        spec, labels = made["spec"], made["metadata"]["labels"]
        volumes, mounts = spec.get("volumes", []), spec["containers"][0].get("volumeMounts", [])
        pod = {key: spec[key] for key in ("serviceAccountName", "automountServiceAccountToken")}
        wanted = {
            "runs": "true",
            "labels": labels,
            "bare": pod | ({"volumes": volumes} if volumes else {}),
            "spec": pod | {"volumes": [*volumes, {"name": "tmp"}]},
            "mounts": mounts,
            "pod": {
                **pod,
                "namespace": plan.namespace,
                "labels": labels,
                **({"volumes": volumes, "volumeMounts": mounts} if volumes else {}),
            },
        }
        for part, value in wanted.items():
            if thaw(obj.body[part]) != value:
                yield f"{obj.name}: {part} is {json.dumps(thaw(obj.body[part]))}, not {json.dumps(value)}"


PARENTS_REFUSED: Final[tuple[tuple[Json, tuple[str, ...]], ...]] = (
    (
        {"agents": ["nobody"]},
        ('there is no agent "nobody"', "Known agents: old, on-aws, on-azure, ", "nobody: {}", "agent-identities:"),
    ),
    ({"agents": ["triage"]}, ('there is no agent "triage"', "triage-1")),
    ({"agents": ["suspect"]}, ('"suspect" is quarantined', '"suspect") }} ...')),
    ({"agents": ["shopper"]}, ('"shopper" is proxied', "shopper: {access: direct}", "agent-identities:")),
    (
        {"agents": ["suspect"], "chart": "fleet"},
        ('"suspect" is quarantined', "agent-identities.runs", '"suspect" "chart" "fleet")'),
    ),
    (
        {"agents": ["worker"], "chart": "none"},
        (
            'no enabled dependency "none"',
            "Its dependencies: a, agent-identities, b, c, d, e, f, fleet",
            '"worker" "chart" "the-alias"',
        ),
    ),
)
"""What a parent asks for wrongly, of everything.yaml, and what it is told."""
