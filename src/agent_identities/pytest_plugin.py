"""pytest plugin: assert what an agent may do on a real API server. Loaded by its entry point, see docs/pytest.md.

Fixtures: `agent_identities` (the declared agents), `cluster` (the cluster of the run), `agent` (an agent on the
cluster). With `agent_identities_values` in the ini file, pytest also collects the suite of pytest_suite.py.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent_identities.cluster import KINDS
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_identities.agents import Agents
    from agent_identities.attack.ask import LiveAgents
    from agent_identities.cluster.provide import Cluster

_LOCK_SECONDS = 600.0
_AGENTS: "pytest.StashKey[Agents]" = pytest.StashKey()

_INI = {
    "values": (
        "paths",
        "values files that declare the agents, later files override earlier ones; relative to the ini file",
    ),
    "chart": ("string", "the chart, relative to the ini file (default: the chart in the package)"),
    "release": ("string", "name of the release (default: agents)"),
    "namespace": ("string", "namespace of the release (default: agent-system)"),
    "cluster": ("string", "embedded, kind or kubeconfig (default: embedded)"),
    "kubernetes": ("string", "Kubernetes minor of a cluster that is created"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the ini keys, all of them with the prefix agent-identities or agent_identities."""
    group = parser.getgroup("agent-identities")
    group.addoption(
        "--agent-identities-cluster",
        choices=KINDS,
        help="cluster of the tests: embedded (a control plane without containers) and kind are created for this run, "
        "kubeconfig is an existing cluster with the release installed",
    )
    group.addoption("--agent-identities-kubernetes", metavar="MINOR", help="Kubernetes minor of a created cluster")
    group.addoption("--agent-identities-kubeconfig", metavar="FILE", help="kubeconfig of an existing cluster")
    group.addoption("--agent-identities-context", metavar="NAME", help="context of the kubeconfig")
    for name, (kind, text) in _INI.items():
        parser.addini(f"agent_identities_{name}", text, type=kind, default=[] if kind == "paths" else "")  # type: ignore[arg-type]  # pytest's own literals


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and refuse settings that contradict each other."""
    config.addinivalue_line("markers", "agent_identities: the ready-made suite over agent_identities_values")
    kind = config.getini("agent_identities_cluster")
    if kind and kind not in KINDS:
        raise pytest.UsageError(f"agent_identities_cluster = {kind}: not one of {', '.join(KINDS)}.")
    for path in config.getini("agent_identities_values"):
        if not path.is_file():
            raise pytest.UsageError(f"agent_identities_values: {path}: no such file. Correct the path in the ini file.")
    if "--agent-identities-kubeconfig" in config.invocation_params.args and not config.getini(
        "agent_identities_values"
    ):
        # pytest reads its ini file before it loads plugins: to it, the value of an unknown option is a path of tests.
        raise pytest.UsageError(
            "--agent-identities-kubeconfig FILE: pytest looks for the ini file next to FILE, and has not found "
            "agent_identities_values. Write --agent-identities-kubeconfig=FILE."
        )
    named = config.getoption("agent_identities_kubeconfig") or config.getoption("agent_identities_context")
    if named and config.getoption("agent_identities_cluster") not in (None, "kubeconfig"):
        raise pytest.UsageError(
            "--agent-identities-kubeconfig and -context need --agent-identities-cluster kubeconfig."
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse invalid values in one message, before anything is collected."""
    if _suite_wanted(session.config):
        declared_agents(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the ready-made suite, unless the command line names files or tests."""
    if not _suite_wanted(config):
        return
    path = Path(__file__).with_name("pytest_suite.py")
    module = pytest.Module.from_parent(session, path=path, nodeid="agent-identities")
    items.extend(session.genitems(module))


def _suite_wanted(config: pytest.Config) -> bool:
    """Whether the ini file names values, and the command line no files or tests."""
    arguments = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    names_files = any("::" in each or Path(each).is_file() for each in arguments)
    return bool(config.getini("agent_identities_values")) and not names_files


def declared_agents(config: pytest.Config) -> "Agents":
    """The agents of the ini file's values, read once. Raises UsageError with one sentence if they are invalid."""
    if _AGENTS not in config.stash:
        config.stash[_AGENTS] = _load(config)
    return config.stash[_AGENTS]


def _load(config: pytest.Config) -> "Agents":
    from agent_identities.agents import load

    files = config.getini("agent_identities_values")
    if not files:
        raise pytest.UsageError(
            "agent_identities: no values. Set the values file in the ini file: agent_identities_values = values.yaml"
        )
    chart, base = config.getini("agent_identities_chart"), config.inipath.parent if config.inipath else config.rootpath
    more = {key: config.getini(f"agent_identities_{key}") for key in ("release", "namespace")}
    try:
        return load(*files, chart=base / chart if chart else None, **{key: text for key, text in more.items() if text})
    except AgentIdentitiesError as error:
        # The library names options of the command. Here, they are keys of the ini file.
        raise pytest.UsageError(re.sub(r"--(chart|release|namespace)\b", r"agent_identities_\1", str(error))) from None


def cluster_kind(config: pytest.Config) -> str:
    """The kind of cluster: from the command line, else from the ini file, else embedded."""
    if config.getoption("agent_identities_kubeconfig") or config.getoption("agent_identities_context"):
        return "kubeconfig"
    return config.getoption("agent_identities_cluster") or config.getini("agent_identities_cluster") or "embedded"


@pytest.fixture(scope="session")
def agent_identities(pytestconfig: pytest.Config) -> "Agents":
    """The declared agents: iterate over them, or get an agent by name, ``agent_identities["triage-1"]``."""
    try:
        return declared_agents(pytestconfig)
    except pytest.UsageError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Cluster]":
    """The cluster of this run. All xdist workers share an embedded cluster; it stops at the end of the run."""
    from agent_identities.toolchain import DEFAULT_KUBERNETES

    kind = cluster_kind(pytestconfig)
    kubernetes = (
        pytestconfig.getoption("agent_identities_kubernetes")
        or pytestconfig.getini("agent_identities_kubernetes")
        or DEFAULT_KUBERNETES
    )
    try:
        if kind == "embedded":
            yield _embedded(tmp_path_factory, kubernetes)
            return
        from agent_identities.cluster.provide import provide_cluster

        if kind == "kind":
            if "PYTEST_XDIST_WORKER" in os.environ:
                raise pytest.UsageError(
                    "--agent-identities-cluster kind: each worker would create a cluster. Use -n 0."
                )
            provided = provide_cluster("kind", kubernetes=kubernetes)
        else:
            given = pytestconfig.getoption("agent_identities_kubeconfig")
            context = pytestconfig.getoption("agent_identities_context")
            provided = provide_cluster(
                "kubeconfig", kubeconfig=Path(given).expanduser() if given else None, context=context
            )
        with provided as made:
            yield made
    except AgentIdentitiesError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None  # the other frames have credentials


@pytest.fixture(scope="session")
def agent_identities_installed(
    pytestconfig: pytest.Config,
    agent_identities: "Agents",
    cluster: "Cluster",
    tmp_path_factory: pytest.TempPathFactory,
) -> "Cluster":
    """The cluster with the release. On a created cluster it is installed once; an existing cluster must have it."""
    if cluster_kind(pytestconfig) == "kubeconfig":
        return cluster
    from filelock import FileLock

    run_directory = _run_directory(tmp_path_factory)[0]
    done = run_directory / f"agent-identities-{agent_identities.namespace}-{agent_identities.release}"
    try:
        with FileLock(run_directory / "agent-identities-install.lock", timeout=_LOCK_SECONDS):
            if not done.exists():
                cluster.install(agent_identities)
                done.touch()
    except AgentIdentitiesError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None  # the other frames have credentials
    return cluster


@pytest.fixture(scope="session")
def agent(agent_identities: "Agents", agent_identities_installed: "Cluster") -> "Iterator[LiveAgents]":
    """One agent on the cluster: ``agent("triage-1").denied("get", "secrets")``, ``.allowed("list", "pods")``."""
    from agent_identities.attack.ask import LiveAgents

    try:
        with LiveAgents(agent_identities, agent_identities_installed) as live:
            yield live
    except AgentIdentitiesError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None  # the other frames have credentials


def _run_directory(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The directory that all workers of a run share, and the process whose end is the end of the run."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent, os.getppid()) if "PYTEST_XDIST_WORKER" in os.environ else (base, os.getpid())


def _embedded(tmp_path_factory: pytest.TempPathFactory, kubernetes: str) -> "Cluster":
    """The control plane of the run. It stops when the pytest process (with xdist: the controller) ends."""
    from agent_identities.cluster.provide import Cluster
    from agent_identities.cluster.shared import shared
    from agent_identities.cluster.starting import ControlPlaneConfig

    plane = shared(*_run_directory(tmp_path_factory), ControlPlaneConfig(kubernetes=kubernetes))
    return Cluster.of_control_plane(plane, "embedded")


def pytest_exception_interact(call: pytest.CallInfo[Any], report: Any) -> None:  # either kind of report
    """Report an error of the user as one sentence, without a traceback."""
    if call.excinfo is not None and isinstance(call.excinfo.value, AgentIdentitiesError):
        report.longrepr = str(call.excinfo.value)
