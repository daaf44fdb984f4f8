"""No rule of any Role has a wildcard, unless its tier accepts the risks of that wildcard."""

from collections.abc import Iterator, Mapping
from typing import Any

from agent_identities.chart.names import TIER_LABEL
from agent_identities.chart.objects import KubeObject
from agent_identities.checks.registry import Check, Install
from agent_identities.rbac import PolicyRule
from agent_identities.rbac.risks import WILDCARD
from agent_identities.report.model import Finding, Severity

_RISKS = {
    "apiGroups": {"wild-all", "wild-apigroup"},
    "resources": {"wild-all", "wild-resource-read", "wild-resource-write", "wild-subresource", "wild-verb"},
    "verbs": {"wild-all", "wild-verb"},
    "nonResourceURLs": {"wild-nonresource"},
}
"""The risks of the catalogue that a wildcard in a field of a rule can match."""

_ON = "impersonate-on:serviceaccount:"
"""The prefix of the verbs by which the proxy impersonates an agent (KEP-5284)."""


def _run(install: Install) -> Iterator[Finding]:
    for role in install.objects.of_kind("Role", "ClusterRole"):
        for index, rule in enumerate(role.body.get("rules") or ()):
            for field, risks in _RISKS.items():
                wild = [value for value in rule.get(field) or () if "*" in value]
                if not wild:
                    continue
                met = _met(install, role, rule) & risks
                if field == "nonResourceURLs" and not met:
                    continue  # URLs that every user can read
                accepted = _accepted(install, role, rule)
                reasons = "; ".join(sorted({accepted[risk] for risk in met & accepted.keys()}))
                all_accepted = bool(met) and met <= accepted.keys()
                for value in wild:
                    yield CHECK.finding(
                        install.at(role, f"rules[{index}].{field}"),
                        f"has the wildcard {value!r}" + (f" (accepted: {reasons})" if all_accepted else ""),
                        *(() if all_accepted else (_REMEDIATION,)),
                        severity=Severity.WARNING if all_accepted else Severity.ERROR,
                    )


_REMEDIATION = "List what the agent needs: a wildcard also covers every future resource."


def _accepted(install: Install, role: KubeObject, rule: Mapping[str, Any]) -> Mapping[str, str]:
    """The accepted risks of the tier; for a rule by which the proxy impersonates agents, of all tiers."""
    accepted = install.declaration.accepted
    if _impersonates(rule):
        return {risk: reason for of_tier in accepted.values() for risk, reason in of_tier.items()}
    return accepted.get(role.labels.get(TIER_LABEL, ""), {})


def _impersonates(rule: Mapping[str, Any]) -> bool:
    return all(verb.startswith(_ON) for verb in rule.get("verbs") or ("",))


def _met(install: Install, role: KubeObject, rule: Mapping[str, Any]) -> set[str]:
    """The risks of wildcards that one rule matches."""
    verbs = [verb.removeprefix(_ON) for verb in rule.get("verbs") or ()]
    found = install.catalogue.findings(
        [PolicyRule.from_manifest({**rule, "verbs": verbs})],
        cluster_wide=role.key.kind == "ClusterRole",
        namespace=role.key.namespace,
    )
    return {match.risk.id for match in found if match.risk.category == WILDCARD}


CHECK = Check(
    id="wildcard",
    title="no rule has a wildcard, unless its tier accepts the risk",
    why="A wildcard grants verbs and resources that are not listed, including future resources.",
    run=_run,
)
