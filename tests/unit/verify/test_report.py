import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent_identities.chart import values
from agent_identities.declaration import Declaration, Identity, declare
from agent_identities.inventory import UndeclaredAccount
from agent_identities.rbac import Request
from agent_identities.report.formats.text import show
from agent_identities.report.words import abbreviate, label, remediation, rights
from agent_identities.verify import report
from agent_identities.verify.differences import differences
from agent_identities.verify.matrix import AccessCell, Matrix
from agent_identities.verify.questions import dangerous_entries, expected, questions
from agent_identities.verify.rows import table

QUICKSTART = Path(__file__).parents[3] / "values" / "quickstart.yaml"
Answer = Callable[[Identity, Request], bool | None]
REASON = 'RBAC: allowed by RoleBinding "oops/agent-system" of Role "x" to Group "system:serviceaccounts:agent-system"'


def asked(declaration: Declaration, differs: Answer = lambda _one, _what: None, **more: Any) -> Matrix:
    """The matrix of a cluster as declared. `differs` returns other answers, or None."""
    what = questions(declaration)
    cells = []
    for one in declaration.identities:
        for permission in what.of(one) if one not in more.get("absent", ()) else ():
            declared = expected(one, permission)
            other = differs(one, permission)
            allowed = declared if other is None else other
            cells.append(AccessCell(one, permission, declared, allowed, REASON if allowed else ""))
    return Matrix("https://server", declaration, what, tuple(cells), seconds=1.5, **more)


def text(matrix: Matrix, width: int = 100, *, listing: bool = False) -> str:
    output = io.StringIO()
    show(matrix.report(listing=listing), Console(file=output, width=width, highlight=False))
    return output.getvalue()


def only(agent: str, permission: str, allowed: bool) -> Answer:
    return lambda one, what: allowed if (one.name, str(what)) == (agent, permission) else None


@pytest.fixture(scope="module")
def quickstart(chart: Path) -> Declaration:
    return declare(values.load(chart, [QUICKSTART]), namespace="agent-system")


@pytest.fixture(scope="module")
def two_hundred(chart: Path) -> Declaration:
    tiers = ("proxy", "reader", "writer")
    rules = {
        "reader": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        "writer": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}],
    }
    given = {
        "tiers": {name: {"rules": each} for name, each in rules.items()},
        "agents": {f"agent-{number}": {"tiers": [tiers[number % 3]]} for number in range(1, 201)},
    }
    return declare(values.load(chart, overrides=given), namespace="agent-system")


@pytest.fixture(scope="module")
def many_resources(chart: Path) -> Declaration:
    rules = [{"apiGroups": ["example.org"], "resources": [f"resources{n}"], "verbs": ["get"]} for n in range(30)]
    given = {"tiers": {"wide": {"rules": rules}}, "agents": {"a": {"tiers": ["wide"]}}}
    return declare(values.load(chart, overrides=given), namespace="agent-system")


def test_every_agent_has_a_row(quickstart: Declaration) -> None:
    named = {one.name for row in table(asked(quickstart)).rows for one in row.identities}
    assert named == {one.name for one in quickstart.identities}


def test_instances_of_one_entry_with_the_same_answers_share_a_row(quickstart: Declaration) -> None:
    labels = [row.label for row in table(asked(quickstart)).rows]
    assert "triage-1 … triage-3 (3 agents)" in labels


def test_an_instance_with_other_answers_has_its_own_row(quickstart: Declaration) -> None:
    matrix = asked(quickstart, only("triage-2", "delete pods", True))
    labels = [row.label for row in table(matrix).rows]
    assert "triage-2" in labels
    assert "triage-1, triage-3 (2 agents)" in labels


def test_the_table_of_two_hundred_agents_fits_on_a_screen(two_hundred: Declaration) -> None:
    assert len(text(asked(two_hundred)).splitlines()) <= 24


def test_one_agent_of_two_hundred_with_other_answers_has_its_own_row(two_hundred: Declaration) -> None:
    shown = text(asked(two_hundred, only("agent-77", "get secrets", True)))
    row = next(line for line in shown.splitlines() if line.startswith("agent-77 "))
    assert "+get secrets" in shown
    assert f"2/{len(dangerous_entries())}" in row  # deployments may be patched, as declared


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("install", ["quickstart", "two_hundred", "many_resources"])
@pytest.mark.parametrize("everything", [False, True])
def test_the_table_is_never_wider_than_the_terminal_and_loses_no_column(
    request: pytest.FixtureRequest, install: str, width: int, everything: bool
) -> None:
    declaration: Declaration = request.getfixturevalue(install)
    shown = text(asked(declaration, lambda _one, _what: True if everything else None), width)
    lines = shown.partition("read = ")[0].splitlines()
    assert max(map(len, lines)) <= width
    assert all(word in shown.split() for word in ("agent", "elsewhere", "dangerous", "42/42" if everything else "0/42"))


def test_an_allowed_undeclared_verb_is_marked_with_plus(quickstart: Declaration) -> None:
    assert "+delete" in text(asked(quickstart, only("researcher", "delete pods", True)))


def test_a_denied_declared_verb_is_marked_with_minus(quickstart: Declaration) -> None:
    assert "-get" in text(asked(quickstart, only("researcher", "get pods", False)))


def test_a_difference_is_reported_with_the_reason_and_the_command(quickstart: Declaration) -> None:
    shown = text(asked(quickstart, only("researcher", "delete pods", True)))
    assert "researcher may delete pods in agent-system, but the values do not declare it." in shown
    assert REASON in shown
    assert "kubectl -n agent-system delete rolebinding oops" in shown


def test_an_undeclared_binding_for_all_agents_is_one_finding(quickstart: Declaration) -> None:
    shown = text(asked(quickstart, lambda _one, what: True if str(what) == "list secrets" else None))
    assert shown.count("✗") == 1
    assert "(13 ServiceAccounts) may list secrets" in shown


def test_an_undeclared_right_in_another_namespace_names_the_namespace(quickstart: Declaration) -> None:
    def undeclared(one: Identity, what: Request) -> bool | None:
        return True if (one.name, str(what), what.namespace) == ("sandboxed", "get pods", "default") else None

    shown = text(asked(quickstart, undeclared))
    assert "sandboxed may get pods in default" in shown
    assert "+get pods" in shown


def test_a_declared_dangerous_permission_is_shown_and_is_not_a_difference(chart: Path) -> None:
    secret = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    given = {"tiers": {"trusted": {"rules": secret}}, "agents": {"a": {"tiers": ["trusted"]}}}
    matrix = asked(declare(values.load(chart, overrides=given), namespace="agent-system"))
    assert matrix.ok
    assert "get secrets" in text(matrix)


def test_an_agent_without_a_service_account_is_a_difference(quickstart: Declaration) -> None:
    missing = next(one for one in quickstart.agents if one.name == "researcher")
    matrix = asked(quickstart, absent=(missing,))
    assert not matrix.ok
    shown = text(matrix)
    assert "researcher: no such ServiceAccount in namespace agent-system" in shown
    assert "If `agent-identities quarantine` removed the agent, add the values" in shown


def test_if_all_agents_are_absent_the_report_asks_about_the_namespace(quickstart: Declaration) -> None:
    assert "in another namespace? Set the namespace with -n" in text(asked(quickstart, absent=quickstart.identities))


def test_an_undeclared_agent_is_a_finding_with_the_command_to_delete_it(quickstart: Declaration) -> None:
    matrix = asked(quickstart, undeclared=(UndeclaredAccount("agent-system", "ghost", "other"),))
    assert not matrix.ok
    assert "kubectl -n agent-system delete serviceaccount ghost" in text(matrix)
    assert "agent-system/ghost (release other)" in text(matrix)


def test_the_summary_counts_agents_answers_and_differences(quickstart: Declaration) -> None:
    matrix = asked(quickstart, only("researcher", "delete pods", True))
    assert report.summary(matrix).startswith("12 agents and agent-proxy · 92 permissions · 1,196 answers in 1.5 s")
    assert report.summary(matrix).endswith("· 1 difference")


def test_the_report_of_a_cluster_as_declared_has_no_differences(quickstart: Declaration) -> None:
    shown = text(asked(quickstart))
    assert "no differences" in shown
    assert "✗" not in shown


def test_text_for_a_file_has_no_colour(quickstart: Declaration) -> None:
    assert "\x1b" not in text(asked(quickstart, only("researcher", "delete pods", True)))


def test_an_ascii_output_gets_only_ascii(quickstart: Declaration) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(asked(quickstart, only("triage-2", "delete pods", True)).report(), Console(file=output, width=100))
    output.seek(0)
    assert "x triage-2 may delete pods" in output.read()


def test_on_a_terminal_only_differences_are_red(quickstart: Declaration) -> None:
    def coloured(matrix: Matrix) -> str:
        output = io.StringIO()
        show(matrix.report(), Console(file=output, width=100, force_terminal=True, color_system="standard"))
        return output.getvalue()

    red = "\x1b[1;31m"
    assert red not in coloured(asked(quickstart))
    assert f"{red}+delete" in coloured(asked(quickstart, only("researcher", "delete pods", True)))


def test_every_cell_can_be_listed(quickstart: Declaration) -> None:
    matrix = asked(quickstart)
    listed = text(matrix, listing=True).partition("\nNamespace ")[0].strip().splitlines()
    assert len(listed) == 1 + len(matrix.cells)


def test_json_has_every_answer_with_its_request(quickstart: Declaration) -> None:
    matrix = asked(quickstart, only("researcher", "delete pods", True))
    found = json.loads(matrix.to_json())
    assert len(found["cells"]) == len(matrix.cells)
    assert found["ok"] is False
    assert found["differences"] == [
        {
            "agent": "researcher",
            "namespace": "agent-system",
            "entry": "researcher",
            "permission": "delete pods",
            "request": {
                "verb": "delete",
                "apiGroup": "",
                "resource": "pods",
                "subresource": "",
                "name": "",
                "namespace": "agent-system",
            },
            "expected": False,
            "allowed": True,
            "reason": REASON,
        }
    ]


def test_the_counts_in_json_add_up_to_the_number_of_answers(quickstart: Declaration) -> None:
    counts = json.loads(asked(quickstart, only("researcher", "get pods", False)).to_json())["counts"]
    kinds = ("allowedAsDeclared", "deniedAsDeclared", "allowedThoughNotDeclared", "deniedThoughDeclared")
    assert sum(counts[kind] for kind in kinds) == counts["answers"]
    assert counts["agents"] == 12


def test_all_rows_of_a_markdown_table_have_the_columns_of_its_header(quickstart: Declaration) -> None:
    made = asked(quickstart, lambda _one, _what: True).to_markdown(listing=True)
    tables = [block.splitlines() for block in made.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_differences_are_bold_in_markdown(quickstart: Declaration) -> None:
    made = asked(quickstart, only("researcher", "delete pods", True)).to_markdown()
    assert "**+delete**" in made
    assert "kubectl -n agent-system delete rolebinding oops" in made


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a"], "a"),
        (["a-1", "a-2", "a-3"], "a-1 … a-3 (3 agents)"),
        (["a-2", "a-10", "a-1"], "a-1, a-2, a-10 (3 agents)"),
        (["a-9", "a-10", "a-11"], "a-9 … a-11 (3 agents)"),
        (["a1", "a2", "a3", "b"], "a1 … a3, b (4 agents)"),
        (["a", "b", "c", "d", "e"], "a, b, c, … (5 agents)"),
    ],
)
def test_numbered_names_are_shortened_to_ranges(names: list[str], short: str) -> None:
    assert label(names) == short


@pytest.mark.parametrize(
    ("verbs", "short"),
    [
        (["watch", "get", "list"], ["read"]),
        (["get", "list"], ["get", "list"]),
        (["get", "list", "watch", "patch"], ["read", "patch"]),
        (["create", "update", "patch", "delete"], ["write"]),
        (["get", "*"], ["*"]),
    ],
)
def test_the_verbs_of_read_and_write_are_abbreviated(verbs: list[str], short: list[str]) -> None:
    assert abbreviate(verbs) == short


def test_a_quarantined_agent_has_a_label_and_its_own_row(chart: Path) -> None:
    given = {"agents": {"idle": {"tiers": []}, "triage": {"tiers": [], "instances": 3, "quarantined": [2]}}}
    shown = text(asked(declare(values.load(chart, overrides=given), namespace="agent-system")))
    assert "triage-2 (quarantined)" in shown
    assert shown.count("quarantined") == 1
    assert "triage-1, triage-3" in shown


def test_the_rights_of_the_proxy_as_its_agents_have_a_prefix_and_a_legend(chart: Path) -> None:
    given = {"agents": {"shopper": {"access": "proxied"}}}
    shown = text(asked(declare(values.load(chart, overrides=given), namespace="agent-system")))
    assert "read as-agent:read" in shown
    assert "as-agent:verb = allowed to the proxy when it impersonates a proxied agent" in " ".join(shown.split())
    assert "as-agent" not in text(asked(declare(values.load(chart, overrides={}), namespace="agent-system")))


def test_the_bindings_of_one_changed_role_share_a_finding(quickstart: Declaration) -> None:
    reason = (
        'RBAC: allowed by RoleBinding "{agent}-binding/agent-system" of Role "agent-proxy-role" to ServiceAccount '
        '"{agent}/agent-system"'
    )
    holders = [one for one in quickstart.identities if one.name in ("researcher", "summarizer", "agent-worker-1")]
    matrix = asked(quickstart)
    cells = [
        replace(cell, allowed=True, reason=reason.replace("{agent}", cell.identity.name))
        for cell in matrix.cells
        if cell.identity in holders and (cell.request.verb, cell.request.resource) == ("create", "jobs")
    ]
    assert cells
    (found,) = differences(replace(matrix, cells=tuple(cells)))
    assert "(3 ServiceAccounts)" in found.message
    assert "-binding/agent-system" in found.details[0]
    assert "--force-conflicts" in found.remediation[0]


@pytest.mark.parametrize(
    ("subject", "edited"),
    [
        ('Group "system:authenticated"', "clusterrole system:basic-user"),
        ('ServiceAccount "researcher/agent-system"', "clusterrolebinding system:basic-user"),
    ],
)
def test_the_advice_keeps_a_binding_of_kubernetes(subject: str, edited: str) -> None:
    name = "system:basic-user"
    reason = f'RBAC: allowed by ClusterRoleBinding "{name}" of ClusterRole "{name}" to {subject}'
    first, *_ = remediation(reason, allowed=True)
    assert first.endswith(f"To fix it: kubectl edit {edited}")


def test_all_rights_are_named_in_words() -> None:
    everything = (Request("*", "*", "*"), Request("*", path="*"))
    assert rights(everything) == "do everything; use all URLs"
