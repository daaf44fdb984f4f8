"""No Role holds a rule that the risk catalogue calls critical; high ones are made known."""

from collections.abc import Iterator

from agent_identities.checks import Check, Finding, Install, Severity


def _run(install: Install) -> Iterator[Finding]:
    bound_widely = {
        binding.role_ref.name for binding in install.policy.bindings if binding.kind == "ClusterRoleBinding"
    }
    for role in install.policy.roles:
        cluster_wide = role.kind == "ClusterRole" and role.name in bound_widely
        place = f"{role.kind} {role.namespace}/{role.name}" if role.namespace else f"{role.kind} {role.name}"
        for match in install.catalogue.findings(role.rules, cluster_wide=cluster_wide, namespace=role.namespace):
            severity = {"critical": Severity.ERROR, "high": Severity.WARNING}.get(match.risk.severity)
            if severity is not None:
                message = f"{match.risk.severity} risk {match.risk.id}: {match.risk.why}"
                cure = "Take this out of the tier, or narrow it to resourceNames."
                yield Finding(CHECK.id, severity, f"{place} rules[{match.rule_index}]", message, cure)


CHECK = Check(
    id="risk",
    title="no rule that the risk catalogue calls critical",
    why="Such a rule alone is enough to become another identity or to take over the namespace or the cluster.",
    run=_run,
)
