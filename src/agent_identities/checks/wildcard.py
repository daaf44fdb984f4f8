"""No rule of any Role has a wildcard."""

from collections.abc import Iterator

from agent_identities.checks import Check, Finding, Install, Severity


def _run(install: Install) -> Iterator[Finding]:
    for role in install.objects.of_kind("Role", "ClusterRole"):
        for index, rule in enumerate(role.body.get("rules") or ()):
            for field in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
                for value in rule.get(field) or ():
                    if "*" in value:
                        place = f"{role.key} rules[{index}].{field}"
                        cure = "Name what is needed; what a wildcard covers grows with every CRD."
                        yield Finding(CHECK.id, Severity.ERROR, place, f"holds the wildcard {value!r}", cure)


CHECK = Check(
    id="wildcard",
    title="no rule has a wildcard",
    why="A wildcard grants verbs and resources that nobody listed, those of the future included.",
    run=_run,
)
