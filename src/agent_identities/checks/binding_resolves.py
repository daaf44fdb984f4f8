"""Every binding names a Role and subjects that are there."""

from collections.abc import Iterator

from agent_identities.checks import Check, Finding, Install, Severity, service_account, subjects


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
            message = f"names the {ref['kind']} {ref['name']!r}, which is not rendered"
            yield _finding(str(binding.key), message, "Whoever creates that name takes the rights: render it, too.")
        if not any(True for _ in subjects(binding)):
            yield _finding(str(binding.key), "has no subject", "Remove it.")
        for subject in subjects(binding):
            account = service_account(subject, binding)
            if account is not None and account not in accounts:
                message = f"binds the ServiceAccount {'/'.join(account)}, which is not rendered"
                yield _finding(str(binding.key), message, "Whoever creates that name takes the rights: render it, too.")


def _finding(place: str, message: str, cure: str) -> Finding:
    return Finding(CHECK.id, Severity.ERROR, place, message, cure)


CHECK = Check(
    id="binding-resolves",
    title="every binding names a Role and ServiceAccounts that are rendered with it",
    why="A name that does not exist is a right for whoever creates it first.",
    run=_run,
)
