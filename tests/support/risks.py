"""What the risk catalogue finds in rules, asked of the chart's templates and of Python."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from agent_identities.bundled import chart_path
from agent_identities.rbac import Catalogue, PolicyRule

CATALOGUE: Final = Catalogue.load(chart_path() / "files" / "risk-catalogue.json")
RISKS: Final = {risk.id: risk for risk in CATALOGUE.risks}
PLACES: Final = ("agents", "kube-system", None)
"""The namespace of a grant; None is the whole cluster."""

Rules = Sequence[PolicyRule]
Findings = list[tuple[str, int]]

CALLER: Final = """\
{{- $catalogue := .Files.Get "files/risk-catalogue.json" }}
{{- $every := dict }}
{{- $groups := dict }}
{{- range .Values.cases }}
  {{- range .rules }}{{ range .apiGroups }}{{ $_ := set $groups . true }}{{ end }}{{ end }}
{{- end }}
{{- include "agent-identities.indexRisks" (list (fromJson $catalogue) $every (dict "*" true) $groups) }}
cases:
{{- range .Values.cases }}
  {{- $index := $every }}
  {{- if .alone }}
    {{- $named := dict }}
    {{- range .rules }}{{ range .resources }}{{ $_ := set $named . true }}{{ end }}{{ end }}
    {{- $index = dict }}
    {{- include "agent-identities.indexRisks" (list (fromJson $catalogue) $index $named $groups) }}
  {{- end }}
  {{- $met := dict }}
  {{- include "agent-identities.findRisks" (merge (dict "index" $index "met" $met) .) }}
  {{- $problems := dict }}
  {{- include "agent-identities.refuseRisks" (list $problems "tiers.t" $index $met dict .rules) }}
  - {{ dict "met" $met "refused" ($problems.list | default list) | toJson }}
{{- end }}
"""
"""A template that finds what is in many lists of rules at once, by the chart's own templates."""


def _write(verbs: str, resources: str, groups: str) -> list[PolicyRule]:
    return [PolicyRule(tuple(verbs.split(",")), tuple(groups.split(",")), tuple(resources.split(",")))]


WRITES: Final[list[Rules]] = [
    # known: harmless, by a risk of the resource, of the subresource, of the API group, of the suffix of the group
    _write("update", "persistentvolumeclaims", ""),
    _write("delete", "certificatesigningrequests", "certificates.k8s.io"),
    _write("update", "widgets/finalizers", "example.org"),
    _write("create", "widgets/finalizers", "example.org"),
    _write("deletecollection", "anything/status", "kagent.dev"),
    _write("create", "anything/status", "pkg.crossplane.io"),
    _write("create", "pods", "metrics.k8s.io"),
    _write("create,deletecollection", "jobs,cronjobs", "batch"),
    _write("create", "deployments/scale,deployments/status", "apps"),
    _write("patch", "widgets/scale", "example.org"),
    _write("patch", "anything,anything/status", "kagent.dev"),
    _write("delete", "roles", "iam.services.k8s.aws"),
    # unknown
    _write("get,delete", "persistentvolumeclaims,widgets", ",example.org"),
    _write("delete", "widgets/status", "example.org"),
    _write("create", "deployments", "batch,apps"),
    _write("create,delete", "persistentvolumeclaims", "apps"),
    _write("deletecollection", "projects", "argoproj.io"),
    _write("patch", "roles", "services.k8s.aws.example.org"),
    _write("create", "widgets,*/widgets", "*,example.org"),
]
"""Writes that the catalogue knows, and others."""


def asked_of_templates(asked: Sequence[tuple[Rules, str | None]]) -> list[dict[str, Any]]:
    """The input of CALLER: rules, and their scope."""
    return [
        {
            "rules": [{"resourceNames": [], **rule.to_manifest()} for rule in rules],
            "clusterWide": place is None,
            "namespaces": {} if place is None else {place: True},
            "alone": number % 5 == 0,  # with a catalogue that is sorted for these rules and no others
        }
        for number, (rules, place) in enumerate(asked)
    ]


def expected(rules: Rules, place: str | None) -> Findings:
    found = CATALOGUE.findings(rules, cluster_wide=place is None, namespace=place or "")
    return [(match.risk.id, match.rule_index) for match in found]


def near(rules: Rules) -> list[Rules]:
    """The rules, and all that differs from them in one field of one rule."""
    changes: list[dict[str, tuple[str, ...]]] = [
        {"api_groups": ("example.org",)},
        {"api_groups": ("*",)},
        {"resources": ("widgets",)},
        {"resources": ("*",)},
        {"resources": ("*/exec",)},
        {"verbs": ("use",)},
        {"verbs": ("*",)},
        {"verbs": ("get", "watch")},
        {"verbs": ("delete", "deletecollection")},
        {"verbs": ("create", "frobnicate")},
        {"resource_names": ("own",)},
        {"resource_names": ("",)},
    ]
    changed = [
        [*rules[:index], replace(rule, **change), *rules[index + 1 :]]
        for index, rule in enumerate(rules)
        for change in changes
    ]
    subresources = [
        [replace(rule, resources=tuple(f"{resource.split('/')[0]}/status" for resource in rule.resources))]
        for rule in rules
    ]
    return [rules, [*rules, *rules], *changed, *subresources, *([rule] for rule in rules)]
