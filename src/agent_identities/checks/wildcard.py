"""No rule of any Role has a wildcard."""

from collections.abc import Iterator

from agent_identities.checks.registry import Check, Install
from agent_identities.report.model import Finding


def _run(install: Install) -> Iterator[Finding]:
    for role in install.objects.of_kind("Role", "ClusterRole"):
        for index, rule in enumerate(role.body.get("rules") or ()):
            for field in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
                for value in rule.get(field) or ():
                    if "*" in value:
                        yield CHECK.finding(
                            install.at(role, f"rules[{index}].{field}"),
                            f"has the wildcard {value!r}",
                            "List what the agent needs: a wildcard also covers every future resource.",
                        )


CHECK = Check(
    id="wildcard",
    title="no rule has a wildcard",
    why="A wildcard grants verbs and resources that are not listed, including future resources.",
    run=_run,
)
