"""The roles outside the chart that tiers refer to, judged by their rules on the cluster."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from agent_identities.chart.objects import Key
from agent_identities.declaration import EVERYWHERE, Declaration, TierGrant
from agent_identities.rbac import Catalogue, Risk, Role, RoleRef
from agent_identities.rbac.model import API_GROUP
from agent_identities.report.model import Finding, Location, Severity

EXISTING_ROLE = "existing-role"

_MOST_RISKS = 8


def existing_role_findings(
    declaration: Declaration, catalogue: Catalogue, absent: frozenset[tuple[RoleRef, str]], roles: Iterable[Role]
) -> Iterator[Finding]:
    """A finding for each role that does not exist (``absent``: role and namespace), or has risks that no tier accepts.

    ``declaration`` has the rules of the roles, ``roles`` are those of the cluster.
    """
    by_name = {role.name: role for role in roles if role.kind == "ClusterRole"}
    grants = dict.fromkeys(
        (grant.tier, grant.namespace, grant.existing, grant)
        for identity in declaration.identities
        for grant in identity.grants
        if grant.existing is not None
    )
    for tier, namespace, ref, grant in grants:
        location = Location(_key(ref, namespace), values=f"tiers.{tier}.existingRole")
        where = f" in namespace {namespace}" if namespace else ""
        if (ref, namespace) in absent:
            yield Finding(
                EXISTING_ROLE,
                Severity.ERROR,
                f"tiers.{tier}.existingRole: {ref.kind} {ref.name} does not exist{where}. The tier grants nothing "
                "until a user creates the role. Then it grants what that user writes into it.",
                location,
                remediation=("Create the role, or correct the name in the tier.",),
            )
            continue
        accepted = declaration.accepted.get(tier, {})
        whole = catalogue.of_existing_role(ref)
        if whole is not None and whole.known and whole.id in accepted:
            continue  # the tier accepts all that a role of Kubernetes, such as cluster-admin, grants
        risks = [risk for risk in _risks(grant, catalogue) if risk.id not in accepted]
        if risks:
            parts = _parts(by_name, ref)
            sources = {risk: _sources(risk, parts, grant, catalogue) for risk in risks[:_MOST_RISKS]}
            severe = [
                f"{risk.id} ({risk.severity}: {risk.why})" + (f", from ClusterRole {', '.join(names)}" if names else "")
                for risk, names in sources.items()
            ]
            added = sorted({name for names in sources.values() for name in names})
            look = f"kubectl get clusterrole {' '.join(added)} --show-labels"
            advice = [f"{ref.name} takes their rules by their labels. To see the labels: {look}"] if added else []
            more = (f"and {len(risks) - _MOST_RISKS} more",) if len(risks) > _MOST_RISKS else ()
            reasons = ", ".join(f"{risk.id}: why it is needed" for risk in risks)
            yield Finding(
                EXISTING_ROLE,
                Severity.ERROR if risks[0].severity == "critical" else Severity.WARNING,
                f"tiers.{tier}.existingRole: {ref.kind} {ref.name}{where} has risks that the tier does not accept.",
                location,
                details=(*severe, *more),
                remediation=(
                    "Refer to a role with fewer rules, or write the rules in the tier.",
                    *advice,
                    f"To accept the risks: tiers.{tier}.acceptRisks: {{{reasons}}}",
                ),
            )


def _parts(roles: Mapping[str, Role], ref: RoleRef) -> list[Role]:
    """The ClusterRoles whose rules an aggregated ClusterRole has. They can be aggregated themselves."""
    whole = roles.get(ref.name) if ref.kind == "ClusterRole" else None
    if whole is None or not whole.aggregation:
        return []
    return [
        role
        for role in roles.values()
        if role is not whole and any(selector.matches(role.labels) for selector in whole.aggregation)
    ]


def _sources(risk: Risk, parts: Iterable[Role], grant: TierGrant, catalogue: Catalogue) -> list[str]:
    """The names of the parts that have a risk."""
    return [part.name for part in parts if risk in _risks(replace(grant, rules=part.rules), catalogue)]


def _risks(grant: TierGrant, catalogue: Catalogue) -> list[Risk]:
    """The critical risks, then the high risks, of the rules of a grant."""
    cluster_wide = grant.namespace == EVERYWHERE
    matches = catalogue.findings(grant.rules, cluster_wide=cluster_wide, namespace=grant.namespace)
    risks = dict.fromkeys(match.risk for match in matches)
    return [risk for severity in ("critical", "high") for risk in risks if risk.severity == severity]


def _key(ref: RoleRef, namespace: str) -> Key:
    return Key(API_GROUP, ref.kind, namespace if ref.kind == "Role" else "", ref.name)
