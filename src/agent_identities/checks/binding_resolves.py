"""Every binding refers to a Role and subjects that exist."""

from collections.abc import Iterator

from agent_identities.checks.registry import Check, Install, service_account, subjects
from agent_identities.report.model import Finding

_REMEDIATION = "Render it too: a user who creates an object with this name gets the rights."


def _run(install: Install) -> Iterator[Finding]:
    roles = {(obj.key.kind, obj.key.namespace, obj.key.name) for obj in install.objects.of_kind("Role", "ClusterRole")}
    accounts = {(obj.key.namespace, obj.key.name) for obj in install.objects.of_kind("ServiceAccount")}
    accounts |= install.declaration.deployers
    for identity in install.declaration.agents:
        if not identity.created:
            accounts.add((identity.namespace, identity.name))
        for grant in identity.grants:
            if grant.existing is not None:
                namespace = "" if grant.existing.kind == "ClusterRole" else grant.namespace
                roles.add((grant.existing.kind, namespace, grant.existing.name))
    for binding in install.objects.of_kind("RoleBinding", "ClusterRoleBinding"):
        ref = binding.body["roleRef"]
        namespace = "" if ref["kind"] == "ClusterRole" else binding.key.namespace
        if (ref["kind"], namespace, ref["name"]) not in roles:
            message = f"refers to the {ref['kind']} {ref['name']!r}, which is not rendered"
            yield CHECK.finding(install.at(binding, "roleRef"), message, _REMEDIATION)
        if not any(True for _ in subjects(binding)):
            yield CHECK.finding(install.at(binding, "subjects"), "has no subject", "Remove the binding.")
        for index, subject in enumerate(subjects(binding)):
            account = service_account(subject, binding)
            if account is not None and account not in accounts:
                message = f"binds the ServiceAccount {account}, which is not rendered"
                yield CHECK.finding(
                    install.at(binding, f"subjects[{index}]"),
                    message,
                    _REMEDIATION,
                )


CHECK = Check(
    id="binding-resolves",
    title="every binding refers to a Role and ServiceAccounts that are rendered with it",
    why="A user who creates the missing object gets the rights of the binding.",
    run=_run,
)
