"""Each declared agent has one ServiceAccount, and no two workloads share a ServiceAccount."""

from collections.abc import Iterator

from agent_identities.chart.names import AGENT_LABEL
from agent_identities.chart.objects import Key
from agent_identities.chart.pods import pod_specs
from agent_identities.checks.registry import Check, Install
from agent_identities.report.model import Finding, Location


def _run(install: Install) -> Iterator[Finding]:
    accounts = {(obj.key.namespace, obj.key.name): obj for obj in install.objects.of_kind("ServiceAccount")}
    active = (install.declaration.proxy, *install.declaration.agents)
    declared = {(one.namespace, one.name) for one in active}
    existing = {(one.namespace, one.name) for one in active if not one.created}
    for namespace, name in sorted(declared - existing - accounts.keys()):
        yield CHECK.finding(
            Location(Key("", "ServiceAccount", namespace, name)),
            "is declared in the values but not rendered",
            "Fix the chart's serviceaccounts.yaml.",
        )
    for key in sorted(accounts.keys() - declared):
        what = "is rendered, but the values declare no such agent"
        yield CHECK.finding(install.at(accounts[key]), what, "Declare the agent under `agents`, or remove the object.")
    for key in sorted(accounts.keys() & declared):
        label = accounts[key].labels.get(AGENT_LABEL, key[1])
        if label != key[1]:
            location = install.at(accounts[key], f"metadata.labels[{AGENT_LABEL!r}]")
            yield CHECK.finding(location, f"has the label of the agent {label!r}", f"Set {AGENT_LABEL} to {key[1]}.")
    yield from _shared(install)


def _shared(install: Install) -> Iterator[Finding]:
    users: dict[tuple[str, str], str] = {}
    for obj, spec in pod_specs(install.objects):
        name = spec.get("serviceAccountName") or "default"
        key = (obj.key.namespace, name)
        location = install.at(obj, "spec.serviceAccountName")
        if install.declaration.find(*key) is None:
            what = f"runs as {name!r}, which is not an agent of the values"
            yield CHECK.finding(location, what, "Set serviceAccountName to the ServiceAccount of an agent.")
        if key in users:
            what = f"runs as {name!r}, and so does {users[key]}"
            yield CHECK.finding(location, what, "Give each workload an agent of its own.")
        users[key] = str(obj.key)


CHECK = Check(
    id="unique-identity",
    title="each agent has its own ServiceAccount, and each workload has its own agent",
    why="Two workloads that share a ServiceAccount have the same rights: an attacker in one has both.",
    run=_run,
)
