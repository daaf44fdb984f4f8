"""The lists of survivors and of noticed mutants, rewritten after a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mutation import lists
from mutation.lists import NO_REASON, accept, noticed, survivors
from mutation.mutant import Mutant, StaleMutantError, Verdict, find

OURS = "templates/a.yaml"
SURVIVORS = f"""\
template:
  - why: "the order of names"
    mutants:
      - "{OURS}: stays"
      - "{OURS}: is noticed now"
  - why: "an empty map"
    mutants:
      - "{OURS}: is gone"
      - "templates/b.yaml: not in the run"
"""
NOTICED = f"""\
template:
  - mutant: "{OURS}: is there"
    case: "everything"
    by: ["rights"]
  - mutant: "{OURS}: is gone"
    case: "everything"
    by: ["accounts", "workloads"]
"""
KILLED = Verdict({"rights": ["a sentence"]}, "everything")
JUDGED = {
    f"{OURS}: stays": Verdict(),
    f"{OURS}: is noticed now": KILLED,
    f"{OURS}: is there": KILLED,
    f"{OURS}: is new": Verdict(),
    f"{OURS}: is for the API server": Verdict(differs="guards"),
    f"{OURS}: another for accounts": Verdict({"accounts": ["x"], "workloads": ["x"]}, "quickstart"),
}
LEFT = {f"{OURS}: is for the API server"}


@pytest.fixture
def accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.setattr(lists, "CORPUS", tmp_path)
    (tmp_path / "survivors.yaml").write_text(SURVIVORS)
    (tmp_path / "noticed.yaml").write_text(NOTICED)
    return lambda: list(accept("template", JUDGED, LEFT, lambda mutant: OURS in mutant))


def test_remaining_survivors_keep_their_reason_and_a_new_survivor_has_no_reason(
    accepted: Callable[[], list[str]],
) -> None:
    accepted()
    assert survivors() == {
        "template": {
            f"{OURS}: stays": "the order of names",
            "templates/b.yaml: not in the run": "an empty map",
            f"{OURS}: is new": NO_REASON,
        }
    }


def test_every_change_of_a_list_is_reported(accepted: Callable[[], list[str]]) -> None:
    assert [line.partition(": write")[0] for line in accepted()] == [
        f"- survivors.yaml: {OURS}: is noticed now: noticed now",
        f"- survivors.yaml: {OURS}: is gone: no such mutant",
        f"+ survivors.yaml: {OURS}: is new",
        f"- noticed.yaml: {OURS}: is gone: no such mutant",
        f"+ noticed.yaml: {OURS}: another for accounts: noticed by accounts, workloads",
    ]


def test_an_entry_of_a_removed_mutant_is_replaced_by_a_mutant_with_its_invariants(
    accepted: Callable[[], list[str]],
) -> None:
    accepted()
    there, new = noticed("template")
    assert (there.mutant, there.by) == (f"{OURS}: is there", frozenset({"rights"}))
    assert (new.mutant, new.case, new.by) == (
        f"{OURS}: another for accounts",
        "quickstart",
        frozenset({"accounts", "workloads"}),
    )


def test_a_second_run_accepts_nothing(accepted: Callable[[], list[str]]) -> None:
    accepted()
    assert accepted() == []


def test_the_error_for_a_stale_id_has_the_command_to_run() -> None:
    mutants = [Mutant("template", f"{OURS}: stays", "a -> b")]
    assert find(mutants, "template", f"{OURS}: stays") is mutants[0]
    with pytest.raises(StaleMutantError, match=rf"{OURS}: is gone: .*--layer template --only {OURS} --accept"):
        find(mutants, "template", f"{OURS}: is gone")


def test_a_layer_without_survivors_is_not_in_the_list(accepted: Callable[[], list[str]]) -> None:
    accepted()
    assert list(accept("object", {"seed: killed": KILLED}, (), lambda _: True)) == []
    assert survivors().keys() == {"template"}
