"""A kind cluster for the duration of a block, with an audit log and a pinned node image. It ends with this process."""

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
_OTHERWISE = "Or use --cluster embedded, which does not need a container engine"


def container_engine() -> str:
    """The first container engine that responds, by the name that kind uses for it.

    Raises ClusterError that lists everything that kind needs and that is missing, each with its remediation.
    """
    chosen = os.environ.get(_PROVIDER_VARIABLE)
    missing = []
    if shutil.which("kind") is None:
        missing.append(f"kind: not found on PATH. Install v0.33 or newer ({_INSTALL_KIND})")
    unresponsive = []
    for engine in (chosen,) if chosen else _ENGINES:
        if shutil.which(engine) is None:
            continue
        if not (problem := _engine_problem(engine)):
            break
        unresponsive.append(f"{engine}: the container engine does not respond. Start it (`{engine} info`: {problem})")
    else:
        absent = f"{chosen} ({_PROVIDER_VARIABLE}) is not" if chosen else f"none of {', '.join(_ENGINES)} is"
        missing += unresponsive or [f"container engine: {absent} on PATH. Install a container engine and start it"]
    if missing:
        lines = "".join(f"- {line}\n" for line in missing)
        raise ClusterError(f"--cluster kind: cannot create a cluster on this machine:\n{lines}{_OTHERWISE}")
    return engine


@contextlib.contextmanager
def kind_cluster(kubernetes: str) -> Iterator[tuple[Path, Path]]:
    """Create a cluster, yield the local paths of its kubeconfig file and audit log, and delete the cluster.

    The cluster is deleted even if this process is killed. AGENT_IDENTITIES_KIND_IMAGE and AGENT_IDENTITIES_KIND_CONFIG
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
            f"{file}: pins the node image {image}, not Kubernetes {kubernetes}. Set {IMAGE_VARIABLE} to a node image "
            "of that version"
        )


def _copy_configuration(directory: Path) -> None:
    """Create the files that the configuration mounts: kind resolves relative paths in its working directory."""
    chosen = os.environ.get(CONFIG_VARIABLE)
    try:
        shutil.copyfile(chosen or kind_path() / "cluster.yaml", directory / "cluster.yaml")
    except OSError as error:
        raise ClusterError(f"{chosen}: {error.strerror}. Set {CONFIG_VARIABLE} to a kind configuration file") from error
    shutil.copyfile(kind_path() / "audit-policy.yaml", directory / "audit-policy.yaml")
    audit = directory / "audit"
    audit.mkdir()
    # The API server runs as root in the node. It does not change the owner of an existing log: this user can read it.
    (audit / "audit.log").touch(mode=0o600)


def _engine_problem(engine: str) -> str:
    """Why the engine does not respond; empty if it responds."""
    try:
        info = subprocess.run(
            [engine, "info"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_ENGINE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no response within {_ENGINE_SECONDS:.0f} s"
    except OSError as error:
        return str(error.strerror)
    if info.returncode == 0:
        return ""
    lines = info.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {info.returncode}"
