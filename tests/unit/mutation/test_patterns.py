"""Mutants of patterns: a part of a regular expression is loosened or tightened."""

import re

import pytest

from mutation.patterns import looser, tighter

PATTERN = r"^[a-z]([-a-z0-9]{0,3}[a-z0-9])?x+\.\d{2}$"
RIGHT = ("axx.00", "ax.12", "a-9x.12", "azzzzx.12", "abx.12", "ahhhhx.99", "a9x.00", "axxx.01")
WRONG = ("!ax.12", "ax.12!", "Ax.12", "a.12", "a-x.12", "a_bx.12", "a-----9x.12", "abbbbbx.12", "ax.1", "ax.123", "")


@pytest.mark.parametrize(("what", "pattern"), list(looser(PATTERN)))
def test_a_looser_pattern_matches_the_same_texts_and_another_text(what: str, pattern: str) -> None:
    assert all(re.search(pattern, text) for text in RIGHT)
    assert any(re.search(pattern, text) for text in WRONG)


@pytest.mark.parametrize(("what", "pattern"), list(tighter(PATTERN)))
def test_a_tighter_pattern_matches_fewer_texts_and_no_other_text(what: str, pattern: str) -> None:
    assert not all(re.search(pattern, text) for text in RIGHT)
    assert not any(re.search(pattern, text) for text in WRONG)


def test_each_anchor_class_and_bound_has_a_mutant() -> None:
    assert [what for what, _ in looser(PATTERN)] == [
        "not from the start",
        "not to the end",
        "any character for [a-z] at 1",
        "any character for [-a-z0-9] at 7",
        "one more for {0,3} at 16",
        "any character for [a-z0-9] at 21",
        "none for + at 32",
        "one less for {2} at 37",
        "one more for {2} at 37",
    ]
    assert [what for what, _ in tighter(PATTERN)] == [
        "least one more for {0,3} at 16",
        "most one less for {0,3} at 16",
        "always for ? at 30",
        "two for + at 32",
    ]
