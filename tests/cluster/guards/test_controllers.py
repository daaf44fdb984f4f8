"""guards.controllers: authors of custom resources need the verb use, on every path by which a kind names an account.

One release lists every controller of the catalogue and is installed before the kinds exist. Its policy covers them when
they appear.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.controller_kinds import KINDS, Kind, define, remove
from support.guarded import Guarded, only, use
from support.namespaces import own_namespace
from support.server import Json, Server, eventually

OWN = ("sa", "proxy-runner", "remote-proxy-runner", "vmcp", "registry-api", "launcher")
"""Accounts that controllers derive from the name of an object: triage-sa, ..."""
GROUPS = sorted({kind.group for kind in KINDS})
EVERY_KIND: Json = {"apiGroups": GROUPS, "resources": ["*"], "verbs": ["*"]}
Sent = tuple[int, Json]


@dataclass(frozen=True, slots=True)
class Kinds:
    """The guard, and four authors who all have every right on every kind."""

    guard: Guarded
    without: Server
    of_triage: Server
    of_all: Server
    accounts: dict[str, Server]

    def create(self, who: Server, kind: Kind, body: Json, *, keep: bool = False) -> Sent:
        return who.request("POST", kind.path(self.guard.namespace) + ("" if keep else "?dryRun=All"), body)

    def refuses(self, answer: Sent, *parts: str) -> bool:
        return self.guard.refuses(answer, *parts)


def catalogue(chart: Path) -> Json:
    found: Json = json.loads((chart / "files" / "controllers.json").read_text())["controllers"]
    return found


def values(namespace: str, controllers: list[Any]) -> Json:
    agents: dict[str, Json] = {name: {} for name in ("triage", "other", *(f"triage-{end}" for end in OWN))}
    deployers = [
        {"kind": "User", "name": f"of-triage@{namespace}", "agents": sorted(agents.keys() - {"other"})},
        {"kind": "User", "name": f"of-all@{namespace}"},
    ]
    return only("runAs", {"agents": agents, "guards": {"deployers": deployers, "controllers": controllers}})


@pytest.fixture(scope="module")
def kinds(server: Server, cluster: Cluster, chart: Path, helm: Helm) -> Iterator[Kinds]:
    with own_namespace(server) as namespace:
        ours = Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
        every = catalogue(chart)
        ours.install(Values(overrides=values(namespace, list(every))))
        guard = Guarded(server, namespace, f"agents.{namespace}.run-as-controllers")
        try:
            define(server, *KINDS)
            people = {name: guard.user(name) for name in ("without", "of-triage", "of-all")}
            for name in people:
                guard.allow(name, EVERY_KIND)
            accounts = {
                entry: guard.account(one["name"], EVERY_KIND, namespace=one["namespace"])
                for entry, controller in every.items()
                for one in controller["accounts"][:1]
            }
            found = Kinds(guard, people["without"], people["of-triage"], people["of-all"], accounts)
            probe = next(kind for kind in KINDS if kind.kind == "ScaledJob")
            body = probe.body((probe.names[0], "triage"))
            eventually(lambda: found.refuses(found.create(found.without, probe, body)))
            eventually(lambda: found.create(found.of_triage, probe, body)[0] == 201)
            yield found
        finally:
            remove(server, *KINDS)


def test_the_tests_have_every_kind_of_the_catalogue(chart: Path) -> None:
    listed = {
        (entry, one["kind"], one["group"], one["resource"])
        for entry, controller in catalogue(chart).items()
        for one in controller["kinds"]
    }
    assert listed == {(kind.controller, kind.kind, kind.group, kind.resource) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_path_of_a_kind_requires_use_of_the_author(kinds: Kinds, kind: Kind) -> None:
    wrong = []
    for path in kind.names:
        mine, others = kind.body((path, "triage")), kind.body((path, "other"))
        asked = {
            "without use": kinds.refuses(kinds.create(kinds.without, kind, mine), kind.kind, "without@"),
            "with use": kinds.create(kinds.of_triage, kind, mine)[0] == 201,
            "of another agent": kinds.refuses(
                kinds.create(kinds.of_triage, kind, others), "other", "requires the verb use on the agent"
            ),
            "of all": kinds.create(kinds.of_all, kind, others)[0] == 201,
        }
        wrong += [f"{path}: {who}" for who, right in asked.items() if not right]
    for path, value in kind.opaque:
        body = kind.body((path, value))
        asked = {
            "without use": kinds.refuses(kinds.create(kinds.without, kind, body), "any agent", "on all agents"),
            "with use": kinds.refuses(kinds.create(kinds.of_triage, kind, body), "any agent", "on all agents"),
            "of all": kinds.create(kinds.of_all, kind, body)[0] == 201,
        }
        wrong += [f"{path}: {who}" for who, right in asked.items() if not right]
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_object_that_names_no_account_requires_use_of_what_the_controller_takes(kinds: Kinds, kind: Kind) -> None:
    asked = {*kind.own, *(("triage",) if kind.referred else ())}
    answer = kinds.create(kinds.without, kind, kind.body())
    if asked:
        assert kinds.refuses(answer, "as the agent ", *asked), answer
    else:
        assert answer[0] == 201, answer
    assert kinds.create(kinds.of_triage, kind, kind.body())[0] == 201
    for field in kind.harmless:
        assert kinds.create(kinds.of_triage, kind, kind.body(field))[0] == 201, field


@pytest.mark.parametrize("entry", sorted({kind.controller for kind in KINDS}))
def test_a_controller_may_write_its_kinds_and_run_pods_as_agents(kinds: Kinds, entry: str) -> None:
    for kind in (kind for kind in KINDS if kind.controller == entry):
        fields = [(path, "other") for path in kind.names[:1]] + [*kind.opaque[:1]]
        assert kinds.create(kinds.accounts[entry], kind, kind.body(*fields))[0] == 201, kind


def of(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.kind == name)


def test_an_update_is_asked_for_what_it_changes(kinds: Kinds) -> None:
    kind, where = of("Workflow"), kinds.guard.namespace
    body = kind.body(("spec.serviceAccountName", "triage"), name="kept")
    assert kinds.create(kinds.of_triage, kind, body, keep=True)[0] == 201
    path = f"{kind.path(where)}/kept?dryRun=All"

    def merge(who: Server, change: Json) -> Sent:
        headers = who.headers | {"Content-Type": "application/merge-patch+json"}
        response = who.client.session.patch(who.client.url + path, json=change, headers=headers, timeout=30)
        return response.status_code, response.json()

    assert merge(kinds.without, {"metadata": {"labels": {"seen": "yes"}}})[0] == 200
    for change in (
        {"spec": {"serviceAccountName": "other"}},
        {"spec": {"entrypoint": "other"}},
        {"status": {"storedTemplates": {"x": {"serviceAccountName": "other"}}}},
    ):
        assert kinds.refuses(merge(kinds.without, change)), change
    assert merge(kinds.of_triage, {"spec": {"entrypoint": "other"}})[0] == 200
    assert kinds.refuses(merge(kinds.of_triage, {"spec": {"serviceAccountName": "other"}}))


def test_each_of_several_accounts_is_asked_for(kinds: Kinds) -> None:
    kind = of("JobSet")
    field = "spec.replicatedJobs"

    def jobs(*accounts: str) -> Json:
        specs = [{"template": {"spec": {"template": {"spec": {"serviceAccountName": one}}}}} for one in accounts]
        return kind.body((field, specs))

    mine = ["triage", *(f"triage-{end}" for end in OWN)]
    assert kinds.create(kinds.of_triage, kind, jobs(*mine, *mine))[0] == 201
    assert kinds.refuses(
        kinds.create(kinds.of_triage, kind, jobs(*mine, "other")), "other", "requires the verb use on the agent"
    )
    # more than eight accounts require use on all agents: each check has a cost, and a policy has a limit for it
    assert kinds.refuses(kinds.create(kinds.of_triage, kind, jobs(*mine, "default", "", *mine[:1], "x,y")))
    many = [f"agent-{number}" for number in range(60)]
    assert kinds.refuses(kinds.create(kinds.without, kind, jobs(*many)), "any agent")
    assert kinds.create(kinds.of_all, kind, jobs(*many))[0] == 201


def test_an_agent_may_write_an_object_that_runs_as_itself(kinds: Kinds) -> None:
    kind = of("ScaledJob")
    agent = kinds.guard.account("triage", EVERY_KIND)
    assert kinds.create(agent, kind, kind.body((kind.names[0], "triage")))[0] == 201
    assert kinds.refuses(kinds.create(agent, kind, kind.body((kind.names[0], "other"))))
    impersonated = Server(agent.client, {"Impersonate-User": agent.headers["Impersonate-User"]})
    assert kinds.refuses(kinds.create(impersonated, kind, kind.body((kind.names[0], "triage"))))


def test_the_star_is_not_a_name_that_one_can_use(kinds: Kinds) -> None:
    starred = kinds.guard.user("starred")
    kinds.guard.allow("starred", EVERY_KIND, use("*", "triage"))
    kind = of("Workflow")
    eventually(lambda: kinds.create(starred, kind, kind.body((kind.names[0], "triage")))[0] == 201)
    assert kinds.refuses(kinds.create(starred, kind, kind.body((kind.names[0], "*"))), "any agent")
    assert kinds.refuses(kinds.create(starred, kind, kind.body(kind.opaque[0])), "any agent")


def test_large_objects_are_judged(kinds: Kinds) -> None:
    """An expression has a limit for its cost: Workflows of 200 templates with five tasks each stay below it."""
    kind = of("Workflow")
    task = {"name": "t", "arguments": {"artifacts": [{"artifactGC": {"serviceAccountName": "triage"}}]}}
    template: Json = {"name": "x", "serviceAccountName": "triage", "dag": {"tasks": [task] * 5}}
    body = kind.body(("spec.templates", [template] * 200))
    assert kinds.create(kinds.of_triage, kind, body)[0] == 201
    template = template | {"serviceAccountName": "other"}
    assert kinds.refuses(kinds.create(kinds.of_triage, kind, kind.body(("spec.templates", [template] * 200))))


def test_the_same_kinds_are_free_in_other_namespaces(kinds: Kinds, server: Server, namespace: str) -> None:
    server.make_namespace(namespace)
    kind = of("ScaledJob")
    free = kinds.guard.account("free", EVERY_KIND, namespace="elsewhere")
    path = f"{kind.path(namespace)}?dryRun=All"
    assert free.request("POST", path, kind.body((kind.names[0], "other")))[0] == 201
    assert kinds.refuses(kinds.create(free, kind, kind.body((kind.names[0], "other"))))


def test_the_notes_warn_of_deployers_that_are_controllers(
    release: Callable[[Helm], Release], helm: Helm, namespace: str
) -> None:
    deployers = [
        {"kind": "ServiceAccount", "namespace": "argo", "name": "argo"},
        {"kind": "ServiceAccount", "namespace": "ci", "name": "pipeline"},
        {"kind": "User", "name": "alice"},
    ]
    given = {"agents": {"a": {}}, "guards": {"enabled": True, "deployers": deployers, "controllers": ["openshell"]}}
    notes = " ".join(release(helm).install(Values(overrides=given)).split())
    assert "argo/argo, the controller argo-workflows: a user who can write its custom resources" in notes
    assert "guards: {controllers: [argo-workflows]}" in notes
    assert "lists ci/pipeline, which guards.controllers does not know" in notes
    assert "the controller openshell by an API of its own" in notes
    assert "alice" not in notes
