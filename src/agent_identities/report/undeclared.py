"""The finding about a ServiceAccount with the label of an agent that the values do not declare."""

import shlex

from agent_identities.chart.objects import Key
from agent_identities.report.model import Finding, Location, Severity


def undeclared_account(account: Key, release: str, consequence: str) -> Finding:
    """A finding of verify and attack. ``consequence`` is a sentence about the run, such as "no reviews were sent"."""
    by = f" (release {release})" if release else ""
    delete = shlex.join(["kubectl", "-n", account.namespace, "delete", "serviceaccount", account.name])
    return Finding(
        "undeclared-account",
        Severity.ERROR,
        f"ServiceAccount {account.namespace}/{account.name}{by} has the label of an agent, but the values declare no "
        f"such agent: {consequence}.",
        Location(account),
        remediation=(
            f"To remove it: {delete}",
            "To keep it: declare the agent under `agents`, or add the values file that declares it with -f.",
        ),
    )
