"""Guards broken in one place each, in force on the API server: the probes notice it (support/guard_probes).

For each guard one that no longer refuses what it must, and one that no longer admits what it must. `make mutants` tries
them all.
"""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_identities.cluster.provide import Cluster
from agent_identities.kube.client import Api
from mutation import template_mutants
from render_worker import RenderWorker, WorkerRenderer
from support.guard_ground import ground
from support.guard_probes import PER_AGENT, PER_TIER
from support.guard_trials import GUARD_OF, SEEN_BY, Trial, Trials, trials
from support.mutation import Noticed, noticed

pytestmark = pytest.mark.cluster

PLACES = {PER_AGENT: 4, PER_TIER: 2}
LISTED = noticed("guards-live")
SHORT_TOKENS = "guard-sets:shortTokens"


@pytest.fixture(scope="module")
def on_trial(cluster: Cluster, chart: Path, render_worker: RenderWorker) -> Iterator[Trials]:
    with (
        Api(cluster.access) as api,
        ground(api, f"test-mutants-{uuid.uuid4().hex[:6]}", cluster.version) as there,
        trials(there, WorkerRenderer(render_worker, chart), PLACES) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def judged(on_trial: Trials, chart: Path) -> dict[str, Trial]:
    def judge(listed: Noticed) -> Trial:
        path = listed.mutant.partition(": ")[0]
        found = template_mutants(path, (chart / path).read_text(encoding="utf-8"))
        return on_trial.judge({path: next(one for one in found if one.id == listed.mutant).text})

    with ThreadPoolExecutor(sum(PLACES.values())) as pool:
        return dict(zip([one.mutant for one in LISTED], pool.map(judge, LISTED), strict=True))


@pytest.mark.parametrize("mode", PLACES)
def test_the_unchanged_chart_passes_every_probe(on_trial: Trials, mode: str) -> None:
    assert on_trial.all_at_once(mode).broken == {}


@pytest.mark.parametrize("listed", LISTED, ids=str)
def test_a_broken_guard_is_noticed(judged: dict[str, Trial], cluster: Cluster, listed: Noticed) -> None:
    if SHORT_TOKENS in listed.by and int(cluster.version.split(".")[1]) < 36:
        pytest.skip("MutatingAdmissionPolicy v1 came with Kubernetes 1.36")
    assert listed.by <= judged[listed.mutant].broken.keys(), judged[listed.mutant].broken


def test_every_guard_has_a_mutant_that_refuses_too_little_and_one_that_admits_too_little() -> None:
    there = {name for one in LISTED for name in one.by}
    guards = {*GUARD_OF.values(), *SEEN_BY} - {"shortTokens"}
    assert {f"guard-{does}:{guard}" for guard in guards for does in ("refuses", "admits")} | {SHORT_TOKENS} <= there
