"""The ready-made suite for a values file: collected if the ini file has agent_identities_values.

One test for each check, without a cluster; one test for each agent on a cluster: each answer must be as declared.
"""

from typing import TYPE_CHECKING

import pytest

from agent_identities.attack.job import attack
from agent_identities.checks.job import check
from agent_identities.checks.registry import all_checks
from agent_identities.pytest_plugin import cluster_kind, declared_agents
from agent_identities.report.model import Finding, Severity
from agent_identities.verify.job import verify

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.checks.report import CheckResult
    from agent_identities.cluster.provide import Cluster
    from agent_identities.verify.matrix import AccessCell, Matrix

pytestmark = pytest.mark.agent_identities


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each check, and for each declared identity."""
    if "check_id" in metafunc.fixturenames:
        metafunc.parametrize("check_id", [each.id for each in all_checks()])
    if "identity_name" in metafunc.fixturenames:
        identities = declared_agents(metafunc.config).declaration.identities
        metafunc.parametrize("identity_name", [one.name for one in identities])


@pytest.fixture(scope="session")
def checked(agent_identities: "Agents") -> "CheckResult":
    """The result of the checks of the rendered chart."""
    return check(agent_identities)


@pytest.fixture(scope="session")
def matrix(agent_identities: "Agents", agent_identities_installed: "Cluster") -> "Matrix":
    """The answers of the API server about every agent."""
    return verify(agent_identities, agent_identities_installed)


def test_check(checked: "CheckResult", check_id: str) -> None:
    """A check finds no error in the rendered chart."""
    _assert_none([each for each in checked.findings if each.rule == check_id and each.severity is Severity.ERROR])


def test_rights_are_as_declared(matrix: "Matrix", identity_name: str) -> None:
    """The API server allows exactly the reviewed requests that the tiers of the agent declare."""
    assert identity_name not in [one.name for one in matrix.absent], f"{identity_name}: no such ServiceAccount"
    differing = [cell for cell in matrix.differences if cell.identity.name == identity_name]
    assert any(cell.identity.name == identity_name for cell in matrix.cells), f"{identity_name}: no reviews were sent"
    if differing:
        pytest.fail("\n".join(map(_sentence, differing)), pytrace=False)


def test_no_undeclared_agent(matrix: "Matrix") -> None:
    """No ServiceAccount has the label of an agent that the values do not declare."""
    _assert_none([each for each in matrix.findings if each.rule == "undeclared-account"])


def test_nothing_undeclared_around_the_agents(matrix: "Matrix") -> None:
    """Nothing on the cluster gives an agent more than the values declare, in whatever namespace."""
    _assert_none([each for each in matrix.inventory.found if each.severity is Severity.ERROR])


def test_everything_was_looked_at(matrix: "Matrix") -> None:
    """The API server lets the caller read everything that is compared with the values; if not, the skip says what."""
    if not matrix.complete:
        pytest.skip("; ".join(each.finding.message for each in matrix.inventory.not_read))


def test_undeclared_requests_with_a_stolen_token_are_refused(
    agent_identities: "Agents", agent_identities_installed: "Cluster", pytestconfig: pytest.Config
) -> None:
    """Every request that an attacker with an agent's token would try is refused, unless the values declare it.

    Only on a cluster that is created for the run. On an existing cluster, run `agent-identities attack --yes-attack`.
    """
    if cluster_kind(pytestconfig) == "kubeconfig":
        pytest.skip("tests do not attack an existing cluster. To attack it: agent-identities attack --yes-attack")
    result = attack(agent_identities, agent_identities_installed)
    _assert_none([each for each in result.findings if each.severity is Severity.ERROR])
    assert result.ok, result.to_text()


def _sentence(cell: "AccessCell") -> str:
    decision = "allowed, but the values do not declare it" if cell.allowed else "denied, but the values declare it"
    where = cell.request.namespace or "the whole cluster"
    return f"{cell.identity.name}: {cell.request} in {where} is {decision}. {cell.reason}".rstrip()


def _assert_none(findings: list[Finding]) -> None:
    if findings:
        lines = ("\n    ".join((each.message, *each.details, *each.remediation)) for each in findings)
        pytest.fail("\n".join(lines), pytrace=False)
