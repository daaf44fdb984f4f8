"""Each declared agent has one ServiceAccount, and no two workloads share one."""

from collections.abc import Iterator

from agent_identities.checks import Check, Finding, Install, Severity
from agent_identities.declaration import AGENT_LABEL, pod_specs


def _run(install: Install) -> Iterator[Finding]:
    accounts = {(obj.key.namespace, obj.key.name): obj for obj in install.objects.of_kind("ServiceAccount")}
    active = (install.declaration.proxy, *install.declaration.agents)
    declared = {(one.namespace, one.name) for one in active}
    elsewhere = {(one.namespace, one.name) for one in active if not one.created}
    for namespace, name in sorted(declared - elsewhere - accounts.keys()):
        place = f"ServiceAccount {namespace}/{name}"
        yield _finding(place, "is declared in the values but not rendered", "Mend the chart's serviceaccounts.yaml.")
    for key in sorted(accounts.keys() - declared):
        cure = "Declare it under `agents`, or remove it."
        yield _finding(str(accounts[key].key), "is rendered but declared by no agent", cure)
    for key in sorted(accounts.keys() & declared):
        label = accounts[key].labels.get(AGENT_LABEL, key[1])
        if label != key[1]:
            cure = f"Its label {AGENT_LABEL} must be its own name."
            yield _finding(str(accounts[key].key), f"is labelled as the agent {label!r}", cure)
    yield from _shared(install)


def _shared(install: Install) -> Iterator[Finding]:
    users: dict[tuple[str, str], str] = {}
    for obj, spec in pod_specs(install.objects):
        name = spec.get("serviceAccountName") or "default"
        key = (obj.key.namespace, name)
        if install.declaration.find(*key) is None:
            cure = "Name the ServiceAccount of an agent in the values."
            yield _finding(str(obj.key), f"runs as {name!r}, which no agent declares", cure)
        if key in users:
            cure = "Give each workload an agent of its own."
            yield _finding(str(obj.key), f"runs as {name!r}, and so does {users[key]}", cure)
        users[key] = str(obj.key)


def _finding(place: str, message: str, cure: str) -> Finding:
    return Finding(CHECK.id, Severity.ERROR, place, message, cure)


CHECK = Check(
    id="unique-identity",
    title="each agent has one ServiceAccount of its own, and each workload an agent of its own",
    why="Two workloads behind one ServiceAccount hold each other's rights, and one hijacked is both.",
    run=_run,
)
