"""No pod runs as the ServiceAccount `default`, and no binding gives it anything."""

from collections.abc import Iterator

from agent_identities.checks import Check, Finding, Install, Severity, service_account, subjects
from agent_identities.declaration import pod_specs

_GROUPS_WITH_DEFAULT = ("system:authenticated", "system:unauthenticated", "system:serviceaccounts")


def _run(install: Install) -> Iterator[Finding]:
    for obj, spec in pod_specs(install.objects):
        name = spec.get("serviceAccountName") or "default"
        if name == "default":
            yield _finding(str(obj.key), "runs as the ServiceAccount `default`", "Name an agent: serviceAccountName.")
    for binding in install.objects.of_kind("RoleBinding", "ClusterRoleBinding"):
        for subject in subjects(binding):
            account = service_account(subject, binding)
            if account is not None and account[1] == "default":
                what = f"gives {binding.body['roleRef']['name']} to the ServiceAccount `default` of {account[0]}"
                yield _finding(str(binding.key), what, "Bind an agent's own ServiceAccount.")
            elif subject.get("kind") == "Group" and str(subject.get("name")).startswith(_GROUPS_WITH_DEFAULT):
                what = f"gives {binding.body['roleRef']['name']} to the group {subject['name']}, `default` included"
                yield _finding(str(binding.key), what, "Bind agents one by one.")


def _finding(place: str, message: str, cure: str) -> Finding:
    return Finding(CHECK.id, Severity.ERROR, place, message, cure)


CHECK = Check(
    id="default-account",
    title="nothing runs as or is granted to the ServiceAccount `default`",
    why="Every pod that names no ServiceAccount runs as `default`: what it holds, all of them hold, and the audit log "
    "cannot tell them apart.",
    run=_run,
)
