"""Templates of the chart that other templates call: those for parent charts, and the search for risks.

A calling template is rendered beside the chart's own files. It prints objects of the kind `Caller`, which the
invariants of this module read.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from agent_identities.chart.objects import Objects, thaw
from agent_identities.rbac import PolicyRule
from support import expected_manifests
from support.expected_manifests.workloads import CONTAINER_SECURITY, deployment_of, pod_security
from support.risks import CALLER, PLACES, RISKS, WRITES, Rules, asked_of_templates, expected, near

Json = dict[str, Any]
KIND: Final = "Caller"

PATH: Final = "templates/first/of/all/caller.yaml"
"""Helm renders what lies deepest first; so the calling template of a parent finds nothing resolved."""

PARENT: Final = """\
{{- $caller := .Values.global.caller }}
{{- $charts := dict "agent-identities" $ "fleet" $ "f" $ "e" $ "d" $ "c" $ "b" $ "a" $ }}
{{- if $caller.alone }}{{ $charts = dict }}{{ end }}
{{- $root := dict "Chart" .Chart "Subcharts" $charts }}
{{- range $name := $caller.agents }}
{{- $call := dict "root" $root "agent" $name }}
{{- with $caller.chart }}{{ $_ := set $call "chart" . }}{{ end }}
---
apiVersion: caller/v1
kind: Caller
metadata: {name: {{ $name | quote }}}
{{- if $caller.parts }}
{{- range $part := $caller.parts }}
{{ $part }}: {{ include (printf "agent-identities.%s" $part) $call | quote }}
{{- end }}
{{- else }}
runs: {{ include "agent-identities.runs" $call | quote }}
labels: {{ include "agent-identities.podLabels" $call | fromYaml | toJson }}
{{- $more := dict "volumes" (list (dict "name" "tmp")) }}
spec: {{ include "agent-identities.podSpec" (merge $more $call) | fromYaml | toJson }}
bare: {{ include "agent-identities.podSpec" $call | fromYaml | toJson }}
mounts: {{ include "agent-identities.volumeMounts" $call | fromYamlArray | toJson }}
security: {{ include "agent-identities.podSecurityContext" $call | fromYaml | toJson }}
own: {{ include "agent-identities.podSecurityContext" (merge (dict "runAsUser" 7) $call) | fromYaml | toJson }}
pod: {{ include "agent-identities.pod" $call | fromYaml | toJson }}
{{- end }}
{{- end }}
"""

RISKS_CALLER: Final = (
    CALLER.replace(".Values.cases", ".Values.global.cases")
    + "apiVersion: caller/v1\nkind: Caller\nmetadata: {name: risks}\n"
)


def _asked() -> Iterator[tuple[Rules, str | None]]:
    """Each bad rule in every place; of its neighbours every ninth, in one place after the other; WRITES."""
    for number, risk in enumerate(RISKS.values()):
        yield from ((risk.bad, place) for place in PLACES)
        yield from ((rules, PLACES[number % len(PLACES)]) for rules in near(risk.bad)[number % 9 :: 9])
        for before in ("widgets", "widgets/status"):
            yield [replace(rule, **_behind(before, rule)) for rule in risk.bad], PLACES[number % len(PLACES)]
    yield from ((rules, PLACES[0]) for rules in WRITES)


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


def parents_broken(plan: expected_manifests.Plan, objects: Objects) -> Iterator[str]:
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
        volumes = [one for one in spec.get("volumes", []) if one["name"] != "agent-tmp"]
        mounts = [one for one in spec["containers"][0].get("volumeMounts", []) if one["name"] != "agent-tmp"]
        pod = {key: spec[key] for key in ("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks")}
        wanted = {
            "runs": "true",
            "labels": labels,
            "bare": pod | ({"volumes": volumes} if volumes else {}),
            "spec": pod | {"volumes": [*volumes, {"name": "tmp"}]},
            "mounts": mounts,
            "security": spec["securityContext"],
            "own": pod_security(plan.values["workloadDefaults"], {"runAsUser": 7}),
            "pod": {
                **pod,
                "securityContext": spec["securityContext"],
                "containerSecurityContext": CONTAINER_SECURITY,
                "namespace": plan.namespace,
                "labels": labels,
                **({"volumes": volumes, "volumeMounts": mounts} if volumes else {}),
            },
        }
        for part, value in wanted.items():
            if thaw(obj.body[part]) != value:
                yield f"{obj.name}: {part} is {json.dumps(thaw(obj.body[part]))}, not {json.dumps(value)}"


PARENTS_REFUSED: Final[tuple[tuple[Json, tuple[str, ...], bool], ...]] = (
    ({"agents": ["nobody"]}, ('"nobody"', "old, on-aws, on-azure, ", "agent-identities:"), True),
    ({"agents": ["triage"]}, ('"triage"', "triage-1"), False),
    ({"agents": ["suspect"]}, ('"suspect"', "agent-identities.runs", '"suspect") }} ...'), False),
    ({"agents": ["shopper"]}, ('"shopper"', "agent-identities:"), True),
    (
        {"agents": ["suspect"], "chart": "fleet"},
        ('"suspect"', "agent-identities.runs", '"suspect" "chart" "fleet")'),
        False,
    ),
    (
        {"agents": ["worker"], "chart": "none"},
        ('"none"', "a, agent-identities, b, c, d, e, f, fleet", '"worker" "chart" "the-alias"'),
        False,
    ),
)
"""Wrong calls for everything.yaml: the arguments, what the message must name, and whether it has YAML to write."""
