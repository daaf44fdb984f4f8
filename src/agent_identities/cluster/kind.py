"""A cluster from kind, for as long as a block runs: audit log on, node image pinned, gone with whoever asked for it."""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from agent_identities.bundled import kind_path
from agent_identities.cluster.launch import LaunchError, end, launch, require_linux, this_process
from agent_identities.cluster.process import Command
from agent_identities.cluster.state import Plan
from agent_identities.errors import ClusterError

IMAGE_VARIABLE = "AGENT_IDENTITIES_KIND_IMAGE"
CONFIG_VARIABLE = "AGENT_IDENTITIES_KIND_CONFIG"
_PROVIDER_VARIABLE = "KIND_EXPERIMENTAL_PROVIDER"
_ENGINES = ("docker", "podman", "nerdctl")  # kind's own order
_ENGINE_SECONDS = 20.0
_CREATE_SECONDS = 600.0  # the node image may have to be pulled
_INSTALL_KIND = "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
_OTHERWISE = "Or use --cluster embedded, which needs no container engine"


def container_engine() -> str:
    """The first container engine that answers, as kind calls it.

    Raises ClusterError that names everything kind needs and has not got, each with its cure.
    """
    chosen = os.environ.get(_PROVIDER_VARIABLE)
    missing = []
    if shutil.which("kind") is None:
        missing.append(f"kind: not found on PATH. Install v0.33 or newer ({_INSTALL_KIND})")
    silent = []
    for engine in (chosen,) if chosen else _ENGINES:
        if shutil.which(engine) is None:
            continue
        if not (problem := _engine_problem(engine)):
            break
        silent.append(f"{engine}: its engine does not answer. Start it (`{engine} info` says: {problem})")
    else:
        wanted = f"{chosen}, named by {_PROVIDER_VARIABLE}, is not" if chosen else f"none of {', '.join(_ENGINES)} is"
        missing += silent or [f"container engine: {wanted} on PATH. Install one and start it"]
    if missing:
        lines = "".join(f"- {line}\n" for line in missing)
        raise ClusterError(f"--cluster kind: cannot create a cluster on this machine:\n{lines}{_OTHERWISE}")
    return engine


@contextlib.contextmanager
def kind_cluster(kubernetes: str) -> Iterator[tuple[Path, Path]]:
    """Create a cluster, yield its kubeconfig and its audit log on this machine, and delete it.

    It is deleted even when this process is killed. AGENT_IDENTITIES_KIND_IMAGE and AGENT_IDENTITIES_KIND_CONFIG
    replace the node image and the configuration (`ci/kind/cluster.yaml`). Raises ClusterError.
    """
    require_linux("--cluster kind")
    engine = container_engine()
    _require_pinned(kubernetes)
    directory = Path(tempfile.mkdtemp(prefix="agent-identities-kind-"))
    try:
        _copy_configuration(directory)
        kubeconfig = directory / "kubeconfig"
        plan = _plan(directory, kubeconfig, engine)
        try:
            ready = launch(directory, plan)
        except LaunchError as error:
            raise ClusterError(f"--cluster kind: {error}\n{_OTHERWISE}") from error
        try:
            yield kubeconfig, directory / "audit" / "audit.log"
        finally:
            end(ready.supervisor, at_end=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _plan(directory: Path, kubeconfig: Path, engine: str) -> Plan:
    name = f"agent-identities-{secrets.token_hex(4)}"
    image = os.environ.get(IMAGE_VARIABLE)

    def kind(action: str, *arguments: str) -> Command:
        return Command(
            name=f"kind {action} cluster",
            argv=("kind", action, "cluster", "--name", name, "--kubeconfig", str(kubeconfig), *arguments),
            log=str(directory / "kind.log"),
            once=True,
            environment=((_PROVIDER_VARIABLE, engine),),
            directory=str(directory),
        )

    return Plan(
        commands=(kind("create", "--config=cluster.yaml", "--wait=180s", *([f"--image={image}"] if image else [])),),
        owner=this_process(),
        timeout=_CREATE_SECONDS,
        remove_directory=True,
        at_end=kind("delete"),
    )


def _require_pinned(kubernetes: str) -> None:
    if IMAGE_VARIABLE in os.environ or CONFIG_VARIABLE in os.environ:
        return
    file = kind_path() / "cluster.yaml"
    image = yaml.safe_load(file.read_text())["nodes"][0]["image"]
    if f":v{kubernetes}." not in image:
        raise ClusterError(
            f"{file}: pins {image}, not Kubernetes {kubernetes}. Name a node image of it with {IMAGE_VARIABLE}"
        )


def _copy_configuration(directory: Path) -> None:
    """Lay out what the configuration mounts: kind takes its relative paths from the folder it runs in."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    try:
        shutil.copyfile(chosen or kind_path() / "cluster.yaml", directory / "cluster.yaml")
    except OSError as error:
        raise ClusterError(f"{chosen}: {error.strerror}. {CONFIG_VARIABLE} has to name a kind configuration") from error
    shutil.copyfile(kind_path() / "audit-policy.yaml", directory / "audit-policy.yaml")
    audit = directory / "audit"
    audit.mkdir()
    # The API server runs as root in the node and keeps the owner of a log that exists: so this user can read it.
    (audit / "audit.log").touch(mode=0o600)


def _engine_problem(engine: str) -> str:
    """Why the engine does not answer; empty when it does."""
    try:
        asked = subprocess.run(
            [engine, "info"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_ENGINE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"nothing within {_ENGINE_SECONDS:.0f} s"
    except OSError as error:
        return str(error.strerror)
    if asked.returncode == 0:
        return ""
    lines = asked.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {asked.returncode}"
