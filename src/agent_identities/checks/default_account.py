"""No pod runs as the ServiceAccount `default`, and no binding grants rights to it."""

from collections.abc import Iterator

from agent_identities.chart.pods import pod_specs
from agent_identities.checks.registry import Check, Install, service_account, subjects
from agent_identities.report.model import Finding

_GROUPS_WITH_DEFAULT = ("system:authenticated", "system:unauthenticated", "system:serviceaccounts")


def _run(install: Install) -> Iterator[Finding]:
    for obj, spec in pod_specs(install.objects):
        name = spec.get("serviceAccountName") or "default"
        if name == "default":
            yield CHECK.finding(
                install.at(obj, "spec.serviceAccountName"),
                "runs as the ServiceAccount `default`",
                "Set serviceAccountName to the ServiceAccount of an agent.",
            )
    for binding in install.objects.of_kind("RoleBinding", "ClusterRoleBinding"):
        for index, subject in enumerate(subjects(binding)):
            location = install.at(binding, f"subjects[{index}]")
            account = service_account(subject, binding)
            if account is not None and account[1] == "default":
                what = f"grants {binding.body['roleRef']['name']} to the ServiceAccount `default` of {account[0]}"
                yield CHECK.finding(location, what, "Bind an agent's own ServiceAccount.")
            elif subject.get("kind") == "Group" and str(subject.get("name")).startswith(_GROUPS_WITH_DEFAULT):
                what = f"grants {binding.body['roleRef']['name']} to the group {subject['name']}, which has `default`"
                yield CHECK.finding(location, what, "Bind the ServiceAccount of each agent.")


CHECK = Check(
    id="default-account",
    title="no pod runs as the ServiceAccount `default`, and no binding grants rights to it",
    why="A pod without serviceAccountName runs as `default`. All such pods share the rights of `default`, and the "
    "audit log cannot tell them apart.",
    run=_run,
)
