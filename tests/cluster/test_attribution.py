"""The audit log of a whole attack run: each request is attributed to one agent."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.attack.result import Attack
from agent_identities.attack.run import attack
from agent_identities.attack.verdict import Outcome
from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.sources import read
from agent_identities.audit.trace import Trace
from agent_identities.audit.tracer import Tracer
from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.kube.client import Api
from agent_identities.rbac import Catalogue
from support.server import eventually

PROXIED = Path(__file__).parents[2] / "values" / "proxied.yaml"
RecordProperty = Callable[[str, object], None]


def traced(cluster: Cluster, declaration: Declaration) -> Trace:
    tracer = Tracer(AgentAccounts.declared(declaration))
    for _ in tracer.read("audit.log", read(str(cluster.audit_log))):
        pass
    return tracer.result()


@pytest.fixture
def run(
    cluster: Cluster, chart: Path, namespace: str, helm: Helm, release: Callable[[Helm], Release]
) -> tuple[Declaration, Attack]:
    """Attack requests from each direct agent and from the proxy, on a release with direct and proxied agents."""
    if cluster.audit_log is None:
        pytest.skip("needs the API server's audit log: run with --agent-identities-cluster embedded or kind")
    release(helm).install(Values.read([PROXIED]))
    declaration = declare(values.load(chart, [PROXIED]), namespace=namespace, kube_version=cluster.version)
    catalogue = Catalogue.load(chart / "files" / "risk-catalogue.json")
    with Api(cluster.access) as api:
        return declaration, attack(api, declaration, catalogue)


def test_every_request_of_an_attack_run_is_attributed_to_exactly_one_agent(
    cluster: Cluster, run: tuple[Declaration, Attack], record_property: RecordProperty
) -> None:
    declaration, done = run
    assert done.ok
    # a request with a rejected token has no user, and a request without an answer is not in the log yet
    sent = Counter(each.identity.name for each in done.attempts if each.outcome is not Outcome.TOKEN)

    def written() -> Trace | None:
        trace = traced(cluster, declaration)
        return trace if trace.attributed >= sum(sent.values()) else None

    trace = eventually(written)
    assert trace is not None
    # The run deletes an account. Its token is valid until the API server hears of that, and the account is no agent.
    deleted = {each.identity.name for each in done.attempts if each.outcome is Outcome.TOKEN}
    by_others = [use for use in trace.unattributed if use.agent.name not in deleted - set(sent)]
    record_property("requests", trace.attributed + sum(use.count for use in by_others))
    record_property("attributed", trace.attributed)
    assert by_others == []
    assert not trace.unreadable
    by_sender = Counter({use.via.rpartition(":")[2] or use.agent.name: 0 for use in trace.uses})
    for use in trace.uses:
        by_sender[use.via.rpartition(":")[2] or use.agent.name] += use.count
    assert set(by_sender) == set(sent)
    assert {name: number for name, number in sent.items() if by_sender[name] < number} == {}
