"""Where a release and its agents are, from the RoleBinding of the proxy."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import agent_identities as ai
from agent_identities.inventory.location import AmbiguousReleaseError, Location, as_installed, locate_among

PROD, DEV = Location("prod", "home", "prod-agents"), Location("dev", "home", "dev-agents")


def binding(at: Location, *agents: str, proxy: str = "agent-proxy", **labels: str) -> dict[str, Any]:
    """The RoleBinding of the proxy, or with ``agents`` that of all agents with the tier ``proxy``."""
    of_chart = {"app.kubernetes.io/name": "agent-identities", "agent-identities/tier": "proxy"}
    notes = {"meta.helm.sh/release-name": at.release, "meta.helm.sh/release-namespace": at.home}
    name = f"{proxy}-binding"
    meta = {"name": name, "namespace": at.agents, "labels": {**of_chart, **labels}, "annotations": notes}
    subjects = [{"kind": "ServiceAccount", "name": each, "namespace": at.agents} for each in agents or (proxy,)]
    return {"kind": "RoleBinding", "metadata": meta, "subjects": subjects}


def test_the_agents_are_found_from_either_namespace() -> None:
    for namespace in ("home", "prod-agents"):
        assert locate_among([binding(PROD)], namespace) == PROD
        assert locate_among([binding(PROD, proxy="other-proxy")], namespace, "prod") == PROD
    assert locate_among([binding(PROD)], "elsewhere") is None
    assert locate_among([binding(PROD)], "home", "dev") is None


@pytest.mark.parametrize(
    "other",
    [
        binding(DEV, "a", "b"),
        binding(DEV, **{"agent-identities/agent": "a"}),
        {**binding(DEV), "kind": "ClusterRoleBinding"},
        {"kind": "RoleBinding", "metadata": {"name": "agent-proxy-binding", "namespace": "dev-agents"}},
    ],
    ids=["of agents", "of an agent", "of another kind", "without labels"],
)
def test_another_binding_says_nothing(other: dict[str, Any]) -> None:
    assert locate_among([binding(PROD), other], "home") == PROD


def test_of_several_releases_the_caller_names_one() -> None:
    both = [binding(PROD), binding(DEV)]
    with pytest.raises(AmbiguousReleaseError, match=r"\(dev-agents, prod-agents\)"):
        locate_among(both, "home")
    assert locate_among(both, "home", "dev") == DEV
    assert locate_among(both, "prod-agents") == PROD
    shared = Location("dev", "home", "prod-agents")
    assert locate_among([binding(PROD), binding(shared)], "prod-agents") is None


def located(
    bindings: Iterable[dict[str, Any]], namespace: str, override: str = "", release: str = "agents"
) -> tuple[str, str]:
    agents = ai.load(overrides={"namespaceOverride": override}, namespace=namespace, release=release)
    declaration = as_installed(partial(locate_among, list(bindings)), agents).declaration
    return declaration.release_namespace, declaration.namespace


def test_the_values_are_completed_with_the_namespaces_of_the_cluster() -> None:
    there = ("home", "prod-agents")
    assert located([binding(PROD)], "home") == there
    assert located([binding(PROD)], "prod-agents") == there
    assert located([binding(PROD)], "prod-agents", override="prod-agents") == there
    assert located([binding(PROD)], "home", override="prod-agents") == there
    assert located([binding(PROD), binding(DEV)], "home", release="prod") == there


def test_the_values_decide_where_the_agents_are() -> None:
    assert located([binding(PROD)], "home", override="others") == ("home", "others")
    assert located([binding(PROD)], "elsewhere", override="home") == ("elsewhere", "home")
    assert located([], "home") == ("home", "home")


def test_the_values_are_read_once(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("agents: {a: {}}\n")
    agents = ai.load(file)
    file.unlink()
    assert [one.namespace for one in agents.located("home", "prod-agents")] == ["prod-agents"]
