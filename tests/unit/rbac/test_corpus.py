"""Recorded decisions of a real API server: the evaluator makes the same decisions, for the same reasons."""

from pathlib import Path

import pytest

from agent_identities.rbac import Authorizer, Policy
from differential.compare import agree
from differential.shrink import case_from_json

CORPUS = sorted((Path(__file__).parents[2] / "corpus" / "rbac").glob("*.json"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_evaluator_makes_the_recorded_decision(path: Path) -> None:
    manifests, asked, answer = case_from_json(path.read_text(encoding="utf-8"))
    decision = Authorizer(Policy.from_manifests(manifests)).decide(*asked)
    assert agree(decision, answer), (decision, answer)


def test_the_corpus_exists() -> None:
    assert len(CORPUS) >= 30
