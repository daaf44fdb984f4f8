"""The chart takes over no ServiceAccount that it did not make, and installs its guards before its agents if asked."""

from collections.abc import Callable

import pytest

from agent_identities.chart.helm import Helm, HelmError, Release
from agent_identities.chart.values import Values
from support.server import Json, Server

MakeRelease = Callable[[Helm], Release]
BOT: Json = {"agents": {"bot": {}}}
OTHER = {"meta.helm.sh/release-name": "other", "meta.helm.sh/release-namespace": "default"}


def accounts(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/serviceaccounts"


@pytest.mark.parametrize("annotations", [{}, OTHER], ids=["made by hand", "of another release"])
@pytest.mark.parametrize("name", ["bot", "agent-proxy"])
def test_an_account_that_exists_is_refused_unless_the_values_adopt_it(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, annotations: Json, name: str
) -> None:
    server.make_namespace(namespace)
    server.create(accounts(namespace), {"metadata": {"name": name, "annotations": annotations}})
    ours = release(either_helm)
    with pytest.raises(HelmError, match=rf'the ServiceAccount "{name}" exists, and this release did not make it') as no:
        ours.install(Values(overrides=BOT), "--take-ownership", create_namespace=False)
    assert f"adoptServiceAccounts: [{name}]" in str(no.value)
    assert server.names(accounts(namespace)) == {"default", name}
    adopted = Values(overrides=BOT | {"adoptServiceAccounts": [name]})
    flags = ("--take-ownership", *(("--force-conflicts",) if ours.helm.version.lstrip("v").startswith("4") else ()))
    ours.install(adopted, *flags, create_namespace=False)
    found = {
        one["metadata"]["name"]: one["metadata"].get("annotations", {}) for one in server.items(accounts(namespace))
    }
    assert {of for of, annotations in found.items() if "agent-identities/adopted" in annotations} == {name}
    ours.upgrade(Values(overrides=BOT))
    assert server.names(accounts(namespace)) == {"default", "bot", "agent-proxy"}


def test_an_upgrade_refuses_the_account_of_a_new_agent_that_exists(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    ours = release(helm)
    ours.install(Values(overrides=BOT))
    server.create(accounts(namespace), {"metadata": {"name": "new-1"}})
    more = BOT | {"agents": {"bot": {}, "new": {"instances": 2}}}
    with pytest.raises(HelmError, match=r'agents\.new: the ServiceAccount "new-1" exists'):
        ours.upgrade(Values(overrides=more), "--take-ownership")
    assert server.names(accounts(namespace)) == {"default", "bot", "agent-proxy", "new-1"}


@pytest.mark.parametrize(
    "agent",
    [{"serviceAccount": {"create": False, "name": "bot"}}, {"quarantined": True}],
    ids=["not created", "quarantined"],
)
def test_an_account_that_the_chart_does_not_make_is_left_alone(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, agent: Json
) -> None:
    server.make_namespace(namespace)
    server.create(accounts(namespace), {"metadata": {"name": "bot"}})
    release(helm).install(Values(overrides={"agents": {"bot": agent}}), create_namespace=False)
    found = server.get(f"{accounts(namespace)}/bot")["metadata"]
    assert "annotations" not in found


def test_guards_can_be_installed_before_the_agents(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    """The documented order: every account of an agent is younger than the guards."""
    ours = release(either_helm)
    given = Values(overrides={"guards": {"enabled": True}, "agents": {"bot": {}, "triage": {}}})
    assert "Helm installs guards last" not in ours.install(given, "--set", "agents=null")
    assert server.names(accounts(namespace)) == {"default", "agent-proxy"}
    ours.upgrade(given)
    policy = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/agents.{namespace}.token-secrets"
    since = server.get(policy)["metadata"]["creationTimestamp"]
    born = {one["metadata"]["name"]: one["metadata"]["creationTimestamp"] for one in server.items(accounts(namespace))}
    assert all(born[name] >= since for name in ("bot", "triage"))
