"""Cases that a real API server answered once: the evaluator gives the same answers, for the same reasons."""

from pathlib import Path

import pytest

from agent_identities.rbac import Authorizer, Policy
from differential.compare import agree
from differential.shrink import case_from_json

CORPUS = sorted((Path(__file__).parents[2] / "corpus" / "rbac").glob("*.json"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_evaluator_answers_as_the_api_server_did(path: Path) -> None:
    manifests, asked, answer = case_from_json(path.read_text(encoding="utf-8"))
    decision = Authorizer(Policy.from_manifests(manifests)).decide(*asked)
    assert agree(decision, answer), (decision, answer)


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) >= 30
