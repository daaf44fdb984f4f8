"""`agent-identities attack --as-persona`: people and accounts around the agents try to go around the guards.

Each move is a request that RBAC allows to some persona. With the guards, a guard refuses it. Without the one policy
that refused it, the API server accepts it, or another guard of the move refuses it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from agent_identities.attack.as_personas import Ending, Run, Try, attack_as
from agent_identities.attack.ground import Attacking, Ground
from agent_identities.attack.moves import Move, moves, personas
from agent_identities.attack.tokens import CreatedObjects
from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import declare
from agent_identities.kube.client import Api
from support.border import values as values_around
from support.namespaces import ADMISSION, own_namespace
from support.server import RBAC, Json, Server, eventually

RELEASE = "agents"
TOKENS = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}
RISKS = {"pod-create": "a test", "sa-token-create": "a test", "configmap-write": "a test"}


def given(namespace: str, *, guards: bool) -> Json:
    """Values with an agent of every kind, so that all moves have something to attack; the run makes the Deployment."""
    made = values_around(f"{namespace}-team", guards=guards)
    rules = made["tiers"]["writer"]["rules"]
    made["tiers"]["writer"] = {"rules": [*rules, TOKENS], "acceptRisks": RISKS}
    del made["agents"]["bot"]["workload"], made["guards"]["tokens"]
    return made


@dataclass(frozen=True, slots=True)
class Attacked:
    """A release, the personas around it with their credentials, and what their moves came to."""

    release: Release
    server: Server
    run: Run
    attacking: list[Attacking]
    tries: list[Try]

    def policy(self, end: str) -> str:
        return f"{RELEASE}.{self.release.namespace}.{end}"

    @contextmanager
    def without(self, policies: set[str]) -> Iterator[None]:
        """These policies do not apply in the block. Others notice it a second later."""
        path = f"{ADMISSION}/validatingadmissionpolicybindings"
        bodies = [self.server.get(f"{path}/{self.policy(name)}") for name in sorted(policies)]
        for body in bodies:
            self.server.delete(f"{path}/{body['metadata']['name']}")
        try:
            yield
        finally:
            for body in bodies:
                meta = {key: body["metadata"][key] for key in ("name", "labels", "annotations")}
                self.server.create(path, {"metadata": meta, "spec": body["spec"]})

    def again(self, tries: list[Try]) -> list[Try]:
        return self.run.again(self.attacking, tries)


@pytest.fixture(scope="module")
def attacked(cluster: Cluster, chart: Path, helm: Helm, server: Server) -> Iterator[Attacked]:
    with own_namespace(server) as namespace, Api(cluster.access) as api:
        team = f"{namespace}-team"
        server.make_namespace(namespace)
        server.make_namespace(team)
        release = Release(helm, chart, RELEASE, namespace, cluster.kubeconfig, cluster.context)
        created = CreatedObjects(api)
        try:
            release.install(Values(overrides=given(namespace, guards=True)), create_namespace=False)
            loaded = values.load(chart, overrides=given(namespace, guards=True))
            declaration = declare(loaded, namespace=namespace, kube_version=cluster.version)
            attacking = Ground(api, declaration, RELEASE, created).attackers(personas())
            run = Run(api, cluster.version)
            eventually(lambda: not through(run.all_of(attacking)))
            yield Attacked(release, server, run, attacking, run.all_of(attacking))
        finally:
            left = created.clear(4)
            server.delete(f"/api/v1/namespaces/{team}")
        assert left == ()


def through(tries: list[Try]) -> list[Try]:
    return [each for each in tries if each.ending is Ending.THROUGH]


def test_no_move_of_any_persona_goes_through(
    attacked: Attacked, record_property: Callable[[str, object], None]
) -> None:
    record_property("persona moves", len(attacked.tries))
    record_property("refused by guards", sum(each.ending is Ending.GUARD for each in attacked.tries))
    bad = [each for each in attacked.tries if each.ending in (Ending.THROUGH, Ending.NOT_SENT)]
    assert [(each.persona, each.move.id, each.how) for each in bad] == []
    assert len(attacked.tries) == len(personas()) * len(moves())


def test_the_guard_that_refuses_a_move_is_one_of_its_guards(attacked: Attacked) -> None:
    wrong = [
        (each.persona, each.move.id, each.guard)
        for each in attacked.tries
        if each.ending is Ending.GUARD and each.guard not in map(attacked.policy, each.move.guards)
    ]
    assert wrong == []


def test_each_move_is_refused_by_a_guard_for_some_persona(attacked: Attacked) -> None:
    """Except moves that this version of Kubernetes or this cluster has no resource for."""
    refused = {each.move.id for each in attacked.tries if each.ending is Ending.GUARD}
    expected = {each.id for each in moves() if each.guards and not OF_OTHER_CLUSTERS & each.entry.keys()}
    missing = [(each.persona, each.ending, each.how) for each in attacked.tries if each.move.id in expected - refused]
    assert missing == []


def test_nothing_but_the_rights_of_the_persona_stops_the_other_moves(attacked: Attacked) -> None:
    """docs/guards.md names these moves, with the remediation."""
    open_ = {each.move.id for each in attacked.tries if each.ending is Ending.OPEN}
    assert open_ == {each.id for each in moves() if each.nothing}


OF_OTHER_CLUSTERS = {"since", "group"}
"""Moves with one of these keys need another version of Kubernetes, or another API."""


def policies() -> list[str]:
    here = [move for move in moves() if not OF_OTHER_CLUSTERS & move.entry.keys()]
    return list(dict.fromkeys(name for move in here for name in move.guards))


@pytest.mark.parametrize("policy", policies())
def test_its_policy_alone_refuses_a_move_and_without_it_the_move_goes_through(attacked: Attacked, policy: str) -> None:
    """The other policies that refuse the same moves are off: the API server names only the first that refuses."""
    of_policy = [each for each in attacked.tries if each.ending is Ending.GUARD and policy in each.move.guards]
    others = {name for each in of_policy for name in each.move.guards} - {policy}
    with attacked.without(others):
        alone = eventually(lambda: only_by(attacked.policy(policy), attacked.again(of_policy)))
        refused = [each for each in alone if each.ending is Ending.GUARD]
        assert {each.move.id for each in refused} == {each.move.id for each in of_policy} != set()
        with attacked.without({policy}):
            eventually(lambda: len(through(attacked.again(of_policy))) == len(of_policy))
    eventually(lambda: not through(attacked.again(of_policy)))


def only_by(policy: str, tries: list[Try]) -> list[Try]:
    """The moves, as soon as no other policy refuses any of them."""
    return tries if all(each.guard in ("", policy) for each in tries) else []


def test_without_guards_each_guarded_move_goes_through(
    attacked: Attacked, cluster: Cluster, chart: Path, helm: Helm, server: Server
) -> None:
    """The same personas, the same moves: what RBAC refuses is the same, and no guard refuses anything."""
    with own_namespace(server) as namespace, Api(cluster.access) as api:
        team = f"{namespace}-team"
        server.make_namespace(team)
        try:
            release = Release(helm, chart, RELEASE, namespace, cluster.kubeconfig, cluster.context)
            release.install(Values(overrides=given(namespace, guards=False)))
            loaded = values.load(chart, overrides=given(namespace, guards=False))
            declaration = declare(loaded, namespace=namespace, kube_version=cluster.version)
            found = attack_as(api, declaration, RELEASE, personas(), version=cluster.version)
        finally:
            server.delete(f"/api/v1/namespaces/{team}")
    before = {(each.persona, each.move.id): each.ending for each in attacked.tries}
    of_other_releases = {"bindings", "quarantine-bindings"}  # they refuse a binding of everybody in all namespaces
    after = {
        (each.persona, each.move.id): each.ending
        for each in found.tries
        if not (each.ending is Ending.GUARD and of_other_releases & set(each.move.guards) and "-of-" in each.move.id)
    }
    expected = {key: Ending.THROUGH if ending is Ending.GUARD else ending for key, ending in before.items()}
    assert {key: ending for key, ending in after.items() if ending is not expected[key]} == {}
    assert not found.ok
    assert found.leftovers == ()
    assert {each.rule for each in found.findings} == {"went-through", "nothing-stops"}


def test_a_run_leaves_nothing_behind(attacked: Attacked, cluster: Cluster, chart: Path) -> None:
    namespace = attacked.release.namespace
    collections = (
        "/api/v1/namespaces/kube-system/serviceaccounts",
        f"/api/v1/namespaces/{namespace}/services",
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        f"{RBAC}/clusterrolebindings",
        f"{RBAC}/clusterroles",
        f"{RBAC}/namespaces/{namespace}/rolebindings",
    )
    loaded = values.load(chart, overrides=given(namespace, guards=True))
    declaration = declare(loaded, namespace=namespace, kube_version=cluster.version)
    names = [partial(attacked.server.names, path) for path in collections]
    before = [each() for each in names]
    with Api(cluster.access) as api:
        found = attack_as(api, declaration, RELEASE, personas()[:1], version=cluster.version)
    assert (found.leftovers, found.ok) == ((), True), found.to_markdown()
    assert [each() for each in names] == before
    assert tuple(one.persona.name for one in found.attacking) == ("namespace-edit",)


def test_every_finding_of_the_red_team_that_a_guard_can_stop_is_a_move() -> None:
    """F1, F9 and F16's values are of verify and of the chart's own refusals."""
    found = {finding: [each for each in moves() if finding in each.findings] for finding in FINDINGS}
    assert {finding for finding, of in found.items() if not any(map(guarded, of))} == set()


FINDINGS = ("D1", "D2", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F10", "F11", "F12", "F13", "F14", "F15", "F16")


def guarded(move: Move) -> bool:
    return bool(move.guards)
