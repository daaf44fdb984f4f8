"""The embedded control plane: it is complete when it is ready, and it ends with its owner."""

import base64
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from agent_identities.cli import down, status, up
from agent_identities.cluster import kept, starting
from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.ports import free_ports
from agent_identities.cluster.provide import provide_cluster
from agent_identities.cluster.readiness import Client
from agent_identities.cluster.shared import shared, stop_shared
from agent_identities.errors import ClusterError
from agent_identities.kube.client import Api
from agent_identities.kube.kubeconfig import load

SECONDS = 30.0
PROCESSES = {"etcd", "kube-apiserver", "kube-controller-manager"}

OWNER = """
import sys, time
from pathlib import Path
from agent_identities.cluster.control_plane import ControlPlane
ControlPlane.start(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that no test ends."""
    with ControlPlane.start(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which `up` keeps its control planes in this test."""
    monkeypatch.setenv(kept.STATE_VARIABLE, str(tmp_path / "state"))
    yield tmp_path / "state"
    kept.down()


def client(plane: ControlPlane, who: str = "admin") -> Client:
    pki = plane.directory / "pki"
    return Client(ca=str(plane.ca), certificate=str(pki / f"{who}.crt"), key=str(pki / f"{who}.key"))


def get(plane: ControlPlane, path: str, who: str = "admin") -> dict[str, object]:
    answer: dict[str, object] = json.loads(client(plane, who).get(f"{plane.url}{path}"))
    return answer


def processes(plane: ControlPlane) -> dict[str, ProcessId]:
    return {name: ProcessId.of(pid) for name, pid in plane.pids.items()}


def no_secrets(directory: Path) -> bool:
    return not any(
        (directory / name).exists() for name in ("pki", "etcd", "kubeconfig", "controller-manager.kubeconfig")
    )


# ---- a running control plane


def test_a_ready_control_plane_has_the_objects_of_the_controllers(plane: ControlPlane) -> None:
    assert get(plane, "/api/v1/namespaces/default/serviceaccounts/default")["kind"] == "ServiceAccount"
    assert get(plane, "/apis/rbac.authorization.k8s.io/v1/clusterroles/view")["rules"]


def test_pods_get_the_certificate_authority_of_the_api_server(plane: ControlPlane) -> None:
    data = get(plane, "/api/v1/namespaces/default/configmaps/kube-root-ca.crt")["data"]
    assert data == {"ca.crt": plane.ca.read_text()}


def test_the_kubeconfig_works_with_tls_verification(plane: ControlPlane) -> None:
    cluster = yaml.safe_load(plane.kubeconfig.read_text())["clusters"][0]["cluster"]
    assert set(cluster) == {"server", "certificate-authority-data"}
    assert base64.b64decode(cluster["certificate-authority-data"]) == plane.ca.read_bytes()
    assert Api(load(plane.kubeconfig, "agent-identities")).version() == plane.kubernetes_version


def test_the_control_plane_has_the_requested_version(plane: ControlPlane) -> None:
    assert plane.kubernetes_version.startswith(f"v{ControlPlaneConfig().kubernetes}.")


def test_rbac_is_enforced(plane: ControlPlane) -> None:
    with pytest.raises(OSError, match="HTTP 403"):
        get(plane, "/metrics", who="controller-manager-client")
    assert get(plane, "/api/v1/namespaces/default/pods", who="controller-manager-client")["kind"] == "PodList"


def test_etcd_refuses_clients_other_than_the_api_server(plane: ControlPlane) -> None:
    plan = json.loads((plane.directory / "plan.json").read_text())
    (etcd,) = (command for command in plan["commands"] if command["name"] == "etcd")
    check = etcd["checks"][0]
    assert b"true" in Client(**check["client"]).get(check["url"])
    administrator = Client(**{**check["client"], "certificate": client(plane).certificate, "key": client(plane).key})
    with pytest.raises(OSError, match=r"(?i)alert|closed|reset|EOF"):
        administrator.get(check["url"])


def test_the_audit_log_has_the_user_and_the_request(plane: ControlPlane) -> None:
    get(plane, "/api/v1/namespaces/kube-public/pods")
    events = [json.loads(line) for line in plane.audit_log.read_text().splitlines()]
    (event,) = [event for event in events if event["requestURI"] == "/api/v1/namespaces/kube-public/pods"]
    assert (event["user"]["username"], event["verb"], event["level"]) == ("admin", "list", "Metadata")


def test_only_the_owner_can_read_the_folder(plane: ControlPlane) -> None:
    assert plane.directory.stat().st_mode & 0o777 == 0o700
    assert plane.kubeconfig.stat().st_mode & 0o777 == 0o600


# ---- several control planes


def test_two_control_planes_run_and_end_independently(plane: ControlPlane, tmp_path: Path) -> None:
    with ControlPlane.start(tmp_path) as other:
        assert other.url != plane.url
        with pytest.raises(OSError, match=r"(?i)certificate"):
            client(plane).get(f"{other.url}/version")
        ended = processes(other)
    assert {name for name, process in ended.items() if process.alive()} == set()
    plane.check()
    assert get(plane, "/version")["gitVersion"] == plane.kubernetes_version


def test_a_second_control_plane_in_the_same_folder_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(ClusterError, match=str(plane.directory)):
        ControlPlane.start(plane.directory)
    plane.check()


def test_all_workers_of_a_run_share_one_control_plane(tmp_path: Path) -> None:
    worker = "import sys, os; from pathlib import Path; from agent_identities.cluster.shared import shared; "
    worker += "print(shared(Path(sys.argv[1]), os.getppid()).url)"
    workers = [
        subprocess.Popen([sys.executable, "-c", worker, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    urls = {process.communicate()[0].strip() for process in workers}
    running = shared(tmp_path, 1)
    assert urls == {running.url}
    stop_shared(tmp_path)
    with pytest.raises(ClusterError):
        running.check()


# ---- clean-up


def test_no_process_and_no_file_is_left_after_the_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    running = ControlPlane.attach(tmp_path)
    assert running is not None
    supervisor, kept = ProcessId.of(running.supervisor_pid), processes(running)
    assert set(kept) == PROCESSES
    owner.kill()
    owner.communicate()
    assert supervisor.wait(SECONDS)
    assert {name for name, process in kept.items() if process.alive()} == set()
    assert no_secrets(tmp_path)


def test_no_process_is_left_after_the_supervisor_is_killed(tmp_path: Path) -> None:
    plane = ControlPlane.start(tmp_path)
    kept = processes(plane)
    ProcessId.of(plane.supervisor_pid).signal(signal.SIGKILL)
    assert {name for name, process in kept.items() if not process.wait(SECONDS)} == set()
    with pytest.raises(ClusterError, match="was killed"):
        plane.check()


def test_the_folder_is_deleted_at_the_end_of_the_block() -> None:
    with provide_cluster("embedded") as cluster:
        assert Api(cluster.access).version() == cluster.version
    assert not cluster.kubeconfig.parent.exists()


# ---- failures


def test_the_error_names_a_port_in_use_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} on 127.0.0.1"):
            ControlPlane.start(tmp_path / "plane", ControlPlaneConfig(port=port))
    assert not (tmp_path / "plane").exists()


def test_another_port_is_chosen_if_another_process_takes_the_first_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        answers = iter([[taken, *free_ports(2)], free_ports(3)])
        monkeypatch.setattr(starting, "free_ports", lambda _: next(answers))
        with ControlPlane.start(tmp_path) as plane:
            assert set(plane.pids) == PROCESSES


def test_the_error_has_the_name_and_the_output_of_a_process_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ClusterError) as refused:
        ControlPlane.start(tmp_path, ControlPlaneConfig(apiserver_args=("--no-such-flag",)))
    assert "kube-apiserver ended with exit code" in str(refused.value)
    assert "unknown flag: --no-such-flag" in str(refused.value)
    assert no_secrets(tmp_path)


# ---- up, status and down


def test_a_second_up_returns_the_running_control_plane(state: Path) -> None:
    first, second = kept.up(), kept.up()
    assert (second.url, second.pids) == (first.url, first.pids)
    assert kept.status().state == "up"
    assert kept.down() is True
    assert kept.status().state == "down"
    assert list((state / "clusters").glob("[!.]*")) == []


def test_the_shell_can_evaluate_the_output_of_up(state: Path) -> None:
    app = typer.Typer()
    for command in (up, down, status):
        command.register(app)
    printed = CliRunner().invoke(app, ["up"])
    assert printed.stdout == f"export KUBECONFIG={state / 'clusters' / 'default' / 'kubeconfig'}\n"
    assert CliRunner().invoke(app, ["status"]).exit_code == 0
    assert CliRunner().invoke(app, ["down"]).stdout == "default: stopped\n"
    assert CliRunner().invoke(app, ["status"]).exit_code == 1


def test_status_reports_a_killed_api_server_and_the_next_up_starts_a_new_control_plane(state: Path) -> None:
    plane = kept.up()
    running = processes(plane)
    running["kube-apiserver"].signal(signal.SIGKILL)
    assert ProcessId.of(plane.supervisor_pid).wait(SECONDS)
    status = kept.status()
    assert status.state == "died"
    assert "kube-apiserver was ended by SIGKILL" in status.reason
    assert "The last lines of its log:" in status.reason
    assert {name for name, process in running.items() if process.alive()} == set()
    assert get(kept.up(), "/version")


def test_up_refuses_options_that_differ_from_the_running_control_plane(state: Path) -> None:
    plane = kept.up()
    with pytest.raises(ClusterError, match="agent-identities down"):
        kept.up(port=1)
    with pytest.raises(ClusterError, match="agent-identities down"):
        kept.up(kubernetes="1.37")
    plane.check()
