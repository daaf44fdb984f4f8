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
from mutation.guard_trials import GUARD_OF, SEEN_BY, Trial, Trials, trials
from mutation.layers import GuardsLive, templates
from mutation.lists import Noticed, noticed
from mutation.mutant import find
from mutation.template import template_mutants
from render_worker import RenderWorker, WorkerRenderer
from support.guard_ground import ground
from support.guard_probes import PER_AGENT, PER_TIER

PLACES = {PER_AGENT: 4, PER_TIER: 2}
LISTED = noticed(GuardsLive.name)
MUTANTS = [mutant for path, text in templates() for mutant in template_mutants(path, text)]
SHORT_TOKENS = "guard-sets:shortTokens"
ENDS_EARLIER = "guard-admits:impersonation"
"""A trial ends at the first probes that notice it: mutants that refuse agents with a token are noticed before that."""


@pytest.fixture(scope="module")
def on_trial(cluster: Cluster, chart: Path, render_worker: RenderWorker) -> Iterator[Trials]:
    with (
        Api(cluster.access) as api,
        ground(api, f"test-mutants-{uuid.uuid4().hex[:6]}", cluster.version) as there,
        trials(there, WorkerRenderer(render_worker, chart), PLACES) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def judged(on_trial: Trials) -> dict[str, Trial]:
    def judge(listed: Noticed) -> Trial:
        mutant = find(MUTANTS, GuardsLive.name, listed.mutant)
        return on_trial.judge({mutant.path: mutant.text})

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
    expected = {f"guard-{does}:{guard}" for guard in guards for does in ("refuses", "admits")} | {SHORT_TOKENS}
    assert expected - there == {ENDS_EARLIER}
