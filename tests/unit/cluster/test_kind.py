"""The calls of `--cluster kind` to kind, and the errors when kind cannot work.

The programs are small scripts in the only folder on PATH, so that the tests do not depend on the machine.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from agent_identities.bundled import kind_path
from agent_identities.cluster.kind import CONFIG_VARIABLE, IMAGE_VARIABLE, container_engine, kind_cluster
from agent_identities.errors import ClusterError

NO_DAEMON = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1"

KIND = """
echo "$KIND_EXPERIMENTAL_PROVIDER $*" >> {calls}
test "$1" = create || exit 0
test -w audit/audit.log && test -r audit-policy.yaml && test -r cluster.yaml || exit 1
while test $# -gt 0; do test "$1" = --kubeconfig && echo made > "$2"; shift; done
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a shell script into the only folder on PATH. The script itself can use /usr/bin and /bin."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for variable in ("KIND_EXPERIMENTAL_PROVIDER", CONFIG_VARIABLE, IMAGE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(programs))

    def write(name: str, script: str) -> None:
        (programs / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (programs / name).chmod(0o755)

    return write


def refusal() -> str:
    with pytest.raises(ClusterError) as refused:
        container_engine()
    return str(refused.value)


def test_a_client_without_a_running_engine_is_reported_differently_from_a_missing_client(
    install: Callable[[str, str], None],
) -> None:
    install("kind", "exit 0")
    install("docker", NO_DAEMON)
    assert refusal() == (
        "--cluster kind: cannot create a cluster on this machine:\n"
        "- docker: the container engine does not respond. Start it "
        "(`docker info`: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.)\n"
        "Or use --cluster embedded, which does not need a container engine"
    )


def test_one_message_lists_everything_that_is_missing(install: Callable[[str, str], None]) -> None:
    message = refusal()
    assert "- kind: not found on PATH. Install" in message
    assert "- container engine: none of docker, podman, nerdctl is on PATH" in message


def test_a_missing_kind_is_reported_even_if_an_engine_runs(install: Callable[[str, str], None]) -> None:
    install("docker", "exit 0")
    message = refusal()
    assert "- kind: not found on PATH" in message
    assert "docker:" not in message


def test_the_engine_that_responds_is_used(install: Callable[[str, str], None]) -> None:
    install("kind", "exit 0")
    install("docker", NO_DAEMON)
    install("podman", "exit 0")
    assert container_engine() == "podman"


def test_only_the_engine_that_the_user_chose_for_kind_is_tried(
    install: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("kind", "exit 0")
    install("docker", "exit 0")
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
    assert "podman (KIND_EXPERIMENTAL_PROVIDER) is not on PATH" in refusal()


def test_a_cluster_is_created_for_the_block_and_deleted_after_it(
    install: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    install("kind", KIND.format(calls=calls))
    install("podman", "exit 0")
    monkeypatch.setenv(IMAGE_VARIABLE, "registry.example/node:v1.36.9")
    with kind_cluster("1.36") as (kubeconfig, audit_log):
        assert kubeconfig.read_text() == "made\n"
        assert audit_log.exists()
    create, delete = calls.read_text().splitlines()
    name = re.search(r"--name (\S+)", create)
    assert name is not None
    assert create.startswith("podman create cluster")
    assert "--image=registry.example/node:v1.36.9" in create
    assert delete.startswith(f"podman delete cluster --name {name[1]}")
    assert not kubeconfig.parent.exists()


def test_two_clusters_have_different_names(install: Callable[[str, str], None], tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    install("kind", KIND.format(calls=calls))
    install("docker", "exit 0")
    with kind_cluster("1.36"), kind_cluster("1.36"):
        created = re.findall(r"create cluster --name (\S+)", calls.read_text())
    assert len(set(created)) == 2


def test_a_cluster_that_cannot_be_created_is_deleted_and_the_error_of_kind_is_shown(
    install: Callable[[str, str], None], tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    install(
        "kind", f'echo "$1" >> {calls}; test "$1" = delete || {{ echo "ERROR: failed to pull image" >&2; exit 1; }}'
    )
    install("docker", "exit 0")
    with pytest.raises(ClusterError, match="ERROR: failed to pull image"), kind_cluster("1.36"):
        pass
    assert calls.read_text().split() == ["create", "delete"]


def test_another_kubernetes_version_than_the_pinned_one_requires_an_image(install: Callable[[str, str], None]) -> None:
    install("kind", "exit 0")
    install("docker", "exit 0")
    with pytest.raises(ClusterError, match=IMAGE_VARIABLE), kind_cluster("1.29"):
        pass


def test_a_missing_configuration_file_is_an_error_with_its_path(
    install: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("kind", "exit 0")
    install("docker", "exit 0")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ClusterError, match=str(tmp_path / "nowhere.yaml")), kind_cluster("1.36"):
        pass


def test_the_shipped_configuration_pins_the_node_image_by_digest() -> None:
    nodes = yaml.safe_load((kind_path() / "cluster.yaml").read_text())["nodes"]
    assert nodes
    assert [
        node["image"] for node in nodes if not re.search(r":v\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", node["image"])
    ] == []


def test_the_shipped_configuration_writes_the_audit_log_into_the_mounted_folder() -> None:
    (node,) = yaml.safe_load((kind_path() / "cluster.yaml").read_text())["nodes"]
    (patch,) = (yaml.safe_load(text) for text in node["kubeadmConfigPatches"])
    mounted = {mount["hostPath"]: mount["containerPath"] for mount in node["extraMounts"]}
    volumes = {volume["hostPath"]: volume["mountPath"] for volume in patch["apiServer"]["extraVolumes"]}
    arguments = patch["apiServer"]["extraArgs"]
    assert volumes[mounted["audit-policy.yaml"]] == arguments["audit-policy-file"]
    assert arguments["audit-log-path"] == f"{volumes[mounted['audit']]}/audit.log"
