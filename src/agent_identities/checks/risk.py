"""No Role has a rule with a critical risk of the risk catalogue, unless its tier accepts that risk.

Accepted risks and high risks are warnings. A role that the chart does not create requires a reason, because the values
have no rules of it, unless the catalogue knows that the role is harmless.
"""

from collections.abc import Iterator

from agent_identities.chart.names import TIER_LABEL
from agent_identities.chart.objects import Key
from agent_identities.checks.registry import Check, Install
from agent_identities.rbac import Match, Role, covers
from agent_identities.report.model import Finding, Location, Severity

_SEVERITIES = {"critical": Severity.ERROR, "high": Severity.WARNING}


def _run(install: Install) -> Iterator[Finding]:
    bound_widely = {
        binding.role_ref.name for binding in install.policy.bindings if binding.kind == "ClusterRoleBinding"
    }
    for role in install.policy.roles:
        cluster_wide = role.kind == "ClusterRole" and role.name in bound_widely
        obj = install.objects[Key("rbac.authorization.k8s.io", role.kind, role.namespace, role.name)]
        for match in install.catalogue.findings(role.rules, cluster_wide=cluster_wide, namespace=role.namespace):
            severity = _SEVERITIES.get(match.risk.severity)
            if severity is None:
                continue
            why = ": ".join(filter(None, (", ".join(install.catalogue.unknown_resources(match)), match.risk.why)))
            what = f"has the {match.risk.severity} risk {match.risk.id}: {why.rstrip('.')}"
            remediation: tuple[str, ...] = (
                f"Narrow the rule, or accept the risk in the tier: acceptRisks: {{{match.risk.id}: why it is needed}}.",
            )
            if reason := _reason(install, role, match):
                severity, what, remediation = Severity.WARNING, f"{what} (accepted: {reason})", ()
            yield CHECK.finding(install.at(obj, f"rules[{match.rule_index}]"), what, *remediation, severity=severity)

    yield from _existing_roles(install)


def _existing_roles(install: Install) -> Iterator[Finding]:
    used = {
        (grant.tier, grant.existing)
        for identity in install.declaration.agents
        for grant in identity.grants
        if grant.existing is not None
    }
    for tier, role in sorted(used, key=lambda each: (each[0], each[1].name)):
        location = Location(values=f"tiers.{tier}.existingRole")
        named = f"tiers.{tier}.existingRole refers to the {role.kind} {role.name!r}"
        risk = install.catalogue.of_existing_role(role)
        if risk is None:
            continue
        message = f"{named}, which has the {risk.severity} risk {risk.id}: {risk.why}"
        if reason := install.declaration.accepted.get(tier, {}).get(risk.id):
            judge = "To judge the rules of the role on a cluster, use agent-identities verify."
            accepted = f"{message} (accepted: {reason})."
            yield Finding(CHECK.id, Severity.WARNING, accepted, location, remediation=() if risk.known else (judge,))
        else:
            advice = (
                f"Give the tier rules, or accept the risk in the tier: acceptRisks: {{{risk.id}: why it is needed}}."
            )
            yield Finding(CHECK.id, Severity.ERROR, f"{message}.", location, remediation=(advice,))


def _reason(install: Install, role: Role, match: Match) -> str | None:
    """The reason in the values for this risk of this role, or None."""
    declaration = install.declaration
    if reason := declaration.accepted.get(role.labels.get(TIER_LABEL, ""), {}).get(match.risk.id):
        return reason
    acting = [
        rule
        for grant in declaration.proxy.grants
        if grant.impersonation and grant.namespace == role.namespace
        for rule in grant.rules
    ]
    if match.risk.id.startswith("impersonate-") and not covers(acting, [match.rule]):
        return "the proxy impersonates agents with access: proxied"
    return None


CHECK = Check(
    id="risk",
    title="no rule has a critical risk of the risk catalogue, unless its tier accepts the risk",
    why="One such rule is sufficient to act as another identity, or to take over the namespace or the cluster.",
    run=_run,
)
