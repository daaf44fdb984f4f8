"""The offline evaluator makes the same decisions as the API server, with the same reasons.

Roles, bindings and requests are generated. PROVE_DECISIONS sets the number of compared decisions, and PROVE_START the
sample: a start always selects the same sample.
"""

import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from agent_identities.cluster.provide import Cluster
from agent_identities.kube.client import Api
from agent_identities.kube.kubeconfig import load
from agent_identities.kube.reviews import ReviewStatus, ask
from agent_identities.rbac import Authorizer, Binding, Policy, PolicyRule, Request, Role, RoleRef, Subject, User, covers
from agent_identities.rbac.model import API_GROUP
from agent_identities.toolchain import DEFAULT_KUBERNETES
from differential.applied_policy import applied, namespaces, path_of
from differential.compare import Asked, Comparison, Difference, compare, server_policy
from differential.shrink import case_from_json, case_to_json, shrink
from support.rbac_strategies import NAMESPACES, WORDS, PolicyCase, cases, drawn, escalations

DECISIONS: Final = int(os.environ.get("PROVE_DECISIONS", "1000"))
START: Final = int(os.environ.get("PROVE_START", "1"))
ASKED: Final = 40
CORPUS: Final = Path(__file__).parents[1] / "corpus" / "rbac"
FROZEN: Final = sorted(CORPUS.glob("*.json"))

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Slot:
    """Namespaces and names for one policy on the server."""

    prefix: str

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(self.prefix + name for name in NAMESPACES)

    def mine(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(WORDS)})\b", rf"{self.prefix}\1", text)

    def manifests(self, manifests: Sequence[Manifest]) -> list[Manifest]:
        renamed: list[Manifest] = json.loads(self.mine(json.dumps(manifests, ensure_ascii=False)))
        return renamed

    def asked(self, asked: Asked) -> Asked:
        user, fields = json.loads(self.mine(json.dumps([asdict(asked[0]), asked[1]._asdict()], ensure_ascii=False)))
        return User(user["name"], tuple(user["groups"])), Request(**fields)

    def generic(self, text: str) -> str:
        """Replaces the slot's names with the names of the strategies."""
        return text.replace(self.prefix, "")


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """On a control plane of its own, if possible: the bindings of groups would reach the agents of other tests."""
    with ExitStack() as stack:
        access = cluster.access
        if cluster.throw_away and cluster.audit_log is not None:
            config = ControlPlaneConfig(
                kubernetes=request.config.getoption("agent_identities_kubernetes") or DEFAULT_KUBERNETES
            )
            access = load(stack.enter_context(ControlPlane.start(tmp_path_factory.mktemp("plane"), config)).kubeconfig)
        yield stack.enter_context(Api(access))


@pytest.fixture(scope="module")
def slots(api: Api) -> Iterator[tuple[Slot, ...]]:
    run = uuid.uuid4().hex[:6]
    made = tuple(Slot(f"eq{run}-{number}-") for number in range(24))
    with namespaces(api, [name for slot in made for name in slot.namespaces]):
        yield made


def manifests_of(case: PolicyCase) -> list[Manifest]:
    return [*(role.to_manifest() for role in case.roles), *(binding.to_manifest() for binding in case.bindings)]


def differences(api: Api, slot: Slot, manifests: Sequence[Manifest], asked: Asked) -> list[Difference]:
    with applied(api, slot.manifests(manifests), canary_namespace=slot.namespaces[0]):
        return list(compare(api, server_policy(api), [slot.asked(asked)]).differences)


def freeze(api: Api, version: str, difference: Difference, slot: Slot, case: PolicyCase, asked: Asked) -> str:
    """Writes the minimal case of a difference to the corpus, so that the unit tests also fail."""

    def still(fewer: Sequence[Manifest]) -> bool:
        return difference.kind in [each.kind for each in differences(api, slot, fewer, asked)]

    if not still(manifests_of(case)):
        return "It takes the other policies of its round, too."
    least = shrink(manifests_of(case), still)
    (found,) = differences(api, slot, least, asked)
    answer = ReviewStatus(found.answer.allowed, slot.generic(found.answer.reason))
    path = CORPUS / f"found-{uuid.uuid4().hex[:8]}.json"
    path.write_text(case_to_json("found by generation: say here what it is about", version, least, asked, answer))
    return f"The least case is now {path}"


def test_every_decision_and_its_reason_are_equal_to_the_api_servers(
    api: Api, cluster: Cluster, slots: tuple[Slot, ...], record_property: Callable[[str, object], None]
) -> None:
    total = Comparison()
    generated = drawn(cases(ASKED), DECISIONS // (ASKED // 2), START)  # duplicate requests to one policy count once
    for first in range(0, len(generated), len(slots)):
        if total.decisions >= DECISIONS:
            break
        batch = list(zip(slots, generated[first:], strict=False))
        policies = [each for slot, case in batch for each in slot.manifests(manifests_of(case))]
        asked = {slot.asked(each): (slot, case, each) for slot, case in batch for each in case.asked}
        with applied(api, policies, canary_namespace=slots[0].namespaces[0]):
            compared = compare(api, server_policy(api), asked)
        total += compared
        for difference in compared.differences[:1]:
            origin = asked[difference.user, difference.request]
            pytest.fail(f"{total}: {difference}\n{freeze(api, cluster.version, difference, *origin)}")
    record_property("decisions", total.decisions)
    record_property("allowed", total.allowed)
    record_property("differences", len(total.differences))
    assert total.decisions >= DECISIONS
    assert 0.1 < total.allowed / total.decisions < 0.9


def test_a_case_of_the_corpus_is_decided_as_recorded(api: Api, slots: tuple[Slot, ...]) -> None:
    for first in range(0, len(FROZEN), len(slots)):
        batch = [(slot, case_from_json(path.read_text())) for slot, path in zip(slots, FROZEN[first:], strict=False)]
        policies = [each for slot, (manifests, _, _) in batch for each in slot.manifests(manifests)]
        with applied(api, policies, canary_namespace=slots[0].namespaces[0]):
            assert not compare(api, server_policy(api), [slot.asked(case[1]) for slot, case in batch]).differences
            for slot, (_, one, answer) in batch:
                assert ask(api, *slot.asked(one)).allowed == answer.allowed, one


def test_an_evaluator_that_ignores_role_bindings_is_found_with_a_minimal_case(
    api: Api, slots: tuple[Slot, ...]
) -> None:
    """Positive control: a difference is found on the real server and shrinks to a minimal case."""
    slot, asked = slots[0], (User("alice"), Request("get", resource="pods", namespace="n1"))
    rule = {"apiGroups": ["", "apps"], "resources": ["pods", "nodes"], "verbs": ["get", "list"]}
    wanted = Role("Role", "r1", "n1", (PolicyRule.from_manifest(rule), PolicyRule(("get",), ("apps",), ("pods",))))
    alice, dev = Subject("User", "alice"), Subject("Group", "dev")
    manifests = [
        wanted.to_manifest(),
        Binding("RoleBinding", "b1", "n1", RoleRef("Role", "r1"), (dev, alice)).to_manifest(),
        Binding("ClusterRoleBinding", "b2", "", RoleRef("ClusterRole", "c1"), (dev, alice)).to_manifest(),
    ]

    def differs(fewer: Sequence[Manifest]) -> bool:
        with applied(api, slot.manifests(fewer), canary_namespace=slot.namespaces[0]):
            policy = server_policy(api)
            forgetful = Policy(policy.roles, tuple(each for each in policy.bindings if each.kind != "RoleBinding"))
            found = compare(api, forgetful, [slot.asked(asked)]).differences
            return [each.kind for each in found] == [(False, True)]

    assert not differences(api, slot, manifests, asked)
    role, binding = shrink(manifests, differs)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    assert [subject["name"] for subject in binding["subjects"]] == ["alice"]


def test_escalation_is_decided_as_by_the_api_server(
    api: Api, slots: tuple[Slot, ...], record_property: Callable[[str, object], None]
) -> None:
    """A user with generated rules writes Roles in a dry run."""
    outcomes: Counter[bool] = Counter()
    generated = drawn(escalations, max(96, DECISIONS // 25), START)
    for first in range(0, len(generated), len(slots)):
        pairs = [(slot, *pair) for slot, pair in zip(slots, generated[first:], strict=False)]
        policies = [each for slot, owner, _ in pairs for each in slot.manifests(author(owner))]
        with applied(api, policies, canary_namespace=slots[0].namespaces[0]):
            authorizer = Authorizer(server_policy(api))
            for slot, _, servant in pairs:
                user = User(slot.mine("alice"), (slot.mine("dev"), "system:authenticated"))
                roles = [Role("ClusterRole", "new", "", tuple(servant))]
                if not any(rule.non_resource_urls for rule in servant):  # a Role cannot contain non-resource URLs
                    roles.append(Role("Role", "new", slot.namespaces[0], tuple(servant)))
                for role in roles:
                    held = authorizer.rules_for(user, role.namespace)
                    escalate = Request("escalate", API_GROUP, f"{role.kind.lower()}s", namespace=role.namespace)
                    theirs = may_write(api, user, role)
                    ours = not covers(held, servant) or authorizer.decide(user, escalate).allowed
                    assert theirs == ours, (role, held)
                    outcomes[theirs] += 1
    record_property("grants", outcomes.total())
    assert min(outcomes[True], outcomes[False]) > 0.2 * outcomes.total()


def author(owner: list[PolicyRule]) -> list[Manifest]:
    """Alice can write roles. She holds some of the rules in the whole cluster, and the other rules in a namespace."""
    may_write = PolicyRule(("create",), ("rbac.authorization.k8s.io",), ("roles", "clusterroles"))
    everywhere, here = owner[::2], owner[1::2]
    alice = (Subject("User", "alice"),)
    objects = (
        Role("ClusterRole", "c1", "", (may_write, *everywhere)),
        Role("ClusterRole", "c2", "", tuple(here)),
        Binding("ClusterRoleBinding", "b1", "", RoleRef("ClusterRole", "c1"), alice),
        Binding("RoleBinding", "b1", "n1", RoleRef("ClusterRole", "c2"), alice),
    )
    return [each.to_manifest() for each in objects]


def may_write(api: Api, user: User, role: Role) -> bool:
    headers = {"Impersonate-User": user.name, "Impersonate-Group": user.groups[0]}
    manifest = role.to_manifest()
    answer = api.raw("POST", f"{path_of(manifest)}?dryRun=All", json.dumps(manifest), headers)
    if answer.status == 403:
        assert "attempting to grant RBAC permissions not currently held" in answer.message
        return False
    assert answer.status == 201, answer
    return True
