"""Fixtures of all levels: markers by folder, the files of the repository, and one renderer per Helm."""

import re
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from agent_identities.chart.helm import Helm, Renderer, Target
from agent_identities.chart.values import Values
from agent_identities.toolchain import component, provide
from render_worker import Engine, RenderRequest, RenderWorker

REPOSITORY = Path(__file__).parents[1]

# A busy machine draws and runs examples slowly, which says nothing of the code under test.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
ANY_MACHINE = settings.get_profile("any machine")
settings.register_profile("sample", ANY_MACHINE, derandomize=True, max_examples=25)
settings.register_profile("prove", ANY_MACHINE, max_examples=500, print_blob=True)
settings.load_profile("sample")


def pytest_configure() -> None:
    """Let SIGINT reach the processes of tests: a job that a shell starts in the background inherits it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("agent-identities")
    group.addoption(
        "--both-helms",
        action="store_true",
        help="run every cluster test that uses helm with Helm 4 and with Helm 3 (default: most with Helm 4 alone)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test with its level, the folder under tests/: unit, render or cluster."""
    for item in items:
        level = item.path.relative_to(REPOSITORY / "tests").parts[0]
        item.add_marker(getattr(pytest.mark, level))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Records the number of generated cases of a test: --junitxml writes it, ci/prove.py adds the numbers up."""
    report = yield
    statistics = getattr(item, "hypothesis_statistics", None)
    if call.when == "call" and statistics:
        tried = sum(map(int, re.findall(r"(\d+) passing", statistics)))
        item.user_properties.append(("cases", tried))  # the report that --junitxml reads is that of the tear-down
    return report


def pytest_sessionfinish() -> None:
    """Save what `make coverage` measured: xdist kills a worker that does not end within 10 seconds."""
    if "coverage" in sys.modules and (measured := sys.modules["coverage"].Coverage.current()):
        measured.save()


@pytest.fixture(scope="session")
def chart() -> Path:
    return REPOSITORY / "charts" / "agent-identities"


@pytest.fixture(scope="session")
def helm_4() -> Helm:
    tool = provide(["helm-4"])["helm-4"]
    return Helm(tool.path, tool.version)


@pytest.fixture(scope="session")
def helm_3() -> Helm:
    tool = provide(["helm-3"])["helm-3"]
    return Helm(tool.path, tool.version)


class HelmByWorker(Helm):
    """The pinned Helm, rendered by a worker: render/test_render_worker.py proves that it prints the same."""

    def __init__(self, helm: Helm, engine: Engine, worker: RenderWorker) -> None:
        super().__init__(helm.path, helm.version)
        self._engine: Engine = engine
        self._worker = worker

    def template(self, chart: Path, values: Values, target: Target) -> str:
        return self._worker.template(RenderRequest(self._engine, chart, values, target))


@pytest.fixture(scope="session")
def render_worker() -> Iterator[RenderWorker]:
    with RenderWorker(provide(["render-worker"])["render-worker"].path) as worker:
        yield worker


@pytest.fixture(scope="session")
def renderer(helm_4: Helm, chart: Path, render_worker: RenderWorker) -> Renderer:
    """Helm 4; the same input twice is rendered once. A Helm that is not the pinned one renders by itself."""
    pinned = helm_4.version == component("helm").version
    return Renderer(HelmByWorker(helm_4, 4, render_worker) if pinned else helm_4, chart)


@pytest.fixture(scope="session")
def renderer_3(helm_3: Helm, chart: Path, render_worker: RenderWorker) -> Renderer:
    pinned = helm_3.version == component("helm-3").version
    return Renderer(HelmByWorker(helm_3, 3, render_worker) if pinned else helm_3, chart)
