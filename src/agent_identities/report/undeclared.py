"""The finding about a ServiceAccount that looks like an agent, and that the values do not declare."""

import shlex

from agent_identities.chart.objects import Key
from agent_identities.report.model import Finding, Location, Severity


def undeclared_account(account: Key, release: str, consequence: str) -> Finding:
    """A finding of verify and attack; ``consequence`` is what the run did not do with the account."""
    by = f" (release {release})" if release else ""
    return Finding(
        "undeclared-account",
        Severity.ERROR,
        f"ServiceAccount {account.namespace}/{account.name}{by} has the label of an agent, but the values declare no "
        f"such agent: {consequence}.",
        Location(account),
        remediation=(
            f"Not wanted: {shlex.join(['kubectl', '-n', account.namespace, 'delete', 'serviceaccount', account.name])}",
            "Wanted: declare it under `agents`, or name the values file that does with a further -f.",
        ),
    )
