"""The moves of moves.json, and what an answer to a move means."""

import json
import re
from pathlib import Path

import pytest

from agent_identities import bundled
from agent_identities.attack.as_personas import Ending, PersonaAttack, Try, judge
from agent_identities.attack.ground import Attacking
from agent_identities.attack.moves import Move, chosen, moves, not_tried, personas
from agent_identities.attack.request import ABSENT
from agent_identities.declaration import declare
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import Answer
from agent_identities.rbac import User
from support.commands import in_process

NAMES = {name: f"the-{name.lower()}" for move in moves() for name in move.placeholders()} | {"absent": ABSENT}
EVE = User.service_account("attack", "eve")
OF_QUARANTINE = {"quarantine", "quarantine-pods", "quarantine-bindings"}
OF_CUSTOM_RESOURCES = {"run-as-controllers"}


def move(id_: str) -> Move:
    return next(each for each in moves() if each.id == id_)


def forbidden(message: str) -> Answer:
    return Answer(403, {"kind": "Status", "reason": "Forbidden", "message": message})


def test_the_ids_of_moves_and_the_names_of_personas_are_unique() -> None:
    for names in ([each.id for each in moves()], [each.name for each in personas()]):
        assert len(set(names)) == len(names)


def test_each_move_has_a_guard_or_says_that_nothing_stops_it() -> None:
    assert [each.id for each in moves() if bool(each.guards) == bool(each.nothing)] == []


def test_each_policy_of_the_guards_has_a_move() -> None:
    """A new guard needs a move that it alone refuses; tests/cluster/guards/test_personas.py sends it."""
    known = json.loads((bundled.chart_path() / "files" / "guards.json").read_text(encoding="utf-8"))["policies"]
    expected = {name for each in moves() for name in each.guards}
    assert expected == known.keys() | OF_QUARANTINE | OF_CUSTOM_RESOURCES


@pytest.mark.parametrize("each", moves(), ids=lambda each: each.id)
def test_a_move_is_complete_and_changes_nothing(each: Move) -> None:
    request = each.request(NAMES)
    sent = f"{request.path} {request.body} {request.headers}"
    assert not re.search(r"\{[A-Za-z]+\}|\"@", sent), sent
    if request.method == "DELETE":
        assert json.loads(request.body)["dryRun"] == ["All"]
    elif request.method != "GET":
        assert "dryRun=All" in request.path
    assert each.connect == (request.method == "GET" and "?limit" not in request.path)


def test_a_persona_that_does_not_exist_is_an_error_with_the_names() -> None:
    assert chosen(["all"]) == personas()
    assert [one.name for one in chosen(["gitops", "deployer"])] == ["deployer", "gitops"]
    with pytest.raises(AgentIdentitiesError, match=r"--as-persona root: no such persona. Use all, or one of: name"):
        chosen(["root"])


REFUSED = (
    "serviceaccounts \"x\" is forbidden: ValidatingAdmissionPolicy 'agents.ns.accounts' with binding "
    "'agents.ns.accounts' denied request: no"
)
CANNOT = f'pods is forbidden: User "{EVE.name}" cannot create resource "pods" in API group "" in the namespace "'


@pytest.mark.parametrize(
    ("id_", "answer", "ending", "guard"),
    [
        ("pod-as-agent", forbidden(CANNOT + 'the-namespace"'), Ending.RBAC, ""),
        ("pod-as-agent", forbidden(REFUSED), Ending.GUARD, "agents.ns.accounts"),
        ("pod-as-agent", forbidden("pods is forbidden: quota exceeded"), Ending.NOT_SENT, ""),
        ("pod-as-agent", Answer(422, {"kind": "Status", "message": "invalid"}), Ending.NOT_SENT, ""),
        ("pod-as-agent", Answer(500, {}), Ending.NOT_SENT, ""),
        ("pod-as-agent", Answer(201, {}), Ending.THROUGH, ""),
        (
            "rules-of-role",
            forbidden('user "x" is attempting to grant RBAC permissions not currently held'),
            Ending.RBAC,
            "",
        ),
        ("exec-into-pod", Answer(404, {"kind": "Status", "message": "not found"}), Ending.THROUGH, ""),
        ("exec-into-pod", Answer(429, {}), Ending.NOT_SENT, ""),
        ("configuration", Answer(201, {}), Ending.OPEN, ""),
        (
            "act-by-impersonation",
            forbidden(f'x is forbidden: User "{EVE.name}" cannot impersonate resource "serviceaccounts"'),
            Ending.RBAC,
            "",
        ),
        (
            "write-by-impersonation",
            forbidden('x: User "system:serviceaccount:the-namespace:the-agent" cannot create resource "configmaps"'),
            Ending.RBAC,
            "",
        ),
    ],
)
def test_only_rbac_and_a_named_guard_count_as_refusals(id_: str, answer: Answer, ending: Ending, guard: str) -> None:
    found = judge(move(id_), move(id_).request(NAMES), EVE, answer)
    assert (found[0], found[2]) == (ending, guard)


# ---- the report


def run(*tries: tuple[str, Ending]) -> PersonaAttack:
    declaration = declare({"proxy": {"name": "agent-proxy", "rules": []}, "agents": {"a": {}}}, namespace="ns")
    made = tuple(
        Try("namespace-edit", move(id_), ending, "because", "g" if ending is Ending.GUARD else "")
        for id_, ending in tries
    )
    one = Attacking(personas()[0], EVE, None, NAMES, {}, "")
    return PersonaAttack("https://here", declaration, (one,), made)


def test_a_move_that_goes_through_is_an_error_with_the_guard_that_should_refuse_it() -> None:
    found = run(("pod-as-agent", Ending.THROUGH), ("token-secret", Ending.GUARD))
    assert not found.ok
    (finding,) = found.findings
    assert (finding.rule, finding.severity.value) == ("went-through", "error")
    assert "namespace-edit: pod-as-agent went through" in finding.message
    assert "run-as" in finding.remediation[0]


def test_what_nothing_stops_is_a_warning_with_its_remediation() -> None:
    (finding,) = run(("configuration", Ending.OPEN)).findings
    assert (finding.rule, finding.severity.value) == ("nothing-stops", "warning")
    assert finding.remediation == (move("configuration").nothing,)


def test_the_report_counts_and_says_what_was_not_tried() -> None:
    found = run(("pod-as-agent", Ending.RBAC), ("token-secret", Ending.GUARD), ("custom-resource", Ending.NOT_TRIED))
    data = json.loads(found.to_json())
    assert data["personas"][0]["counts"] == {
        "rbac": 1,
        "guard": 1,
        "wentThrough": 0,
        "nothingStops": 0,
        "declared": 0,
        "notTried": 1,
        "notSent": 0,
    }
    assert data["guards"] == {"g": 1}
    assert [each["ending"] for each in data["moves"]] == ["rbac", "guard", "notTried"]
    assert all(sentence in found.to_text() for sentence in not_tried()[:1])
    assert found.inconclusive  # this persona had no credential


# ---- the command


def test_personas_attack_throw_away_clusters_only(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
        'clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]\nusers: [{name: u, user: {token: t}}]\n'
    )
    values = tmp_path / "v.yaml"
    values.write_text("agents: {a: {}}\n")
    given = ["attack", "-f", str(values), "--kubeconfig", str(config), "--as-persona", "all"]
    for more in ([], ["--yes-attack"]):
        done = in_process(*given, *more, columns=300)
        assert done.returncode == 2
        assert b"To create a cluster for this run: --cluster embedded" in done.stderr
    done = in_process(*given[:3], "--cluster", "embedded", "--as-persona", "all", "--agent", "a", columns=300)
    assert (done.returncode, b"--agent and --as-persona: use one of them" in done.stderr) == (2, True)
