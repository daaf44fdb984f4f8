"""Messages about a stopped kept control plane and invalid options. All else is tested with a real control plane."""

import dataclasses
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock

from agent_identities.cluster import kept
from agent_identities.cluster.launch import this_process
from agent_identities.cluster.state import FAILED, READY, Failure, Ready, write_json
from agent_identities.errors import ClusterError


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(kept.STATE_VARIABLE, str(tmp_path))
    return tmp_path / "clusters"


@pytest.fixture
def ready_before_reboot(state: Path) -> Path:
    directory = state / "default"
    directory.mkdir(parents=True)
    supervisor = dataclasses.replace(this_process(), boot="earlier boot")
    ready = Ready(supervisor, {}, "https://127.0.0.1:6443", "v1.36.4", "2026-01-01T00:00:00+00:00")
    write_json(directory / READY, asdict(ready))
    return directory


def test_a_cluster_that_was_never_up_is_down(state: Path) -> None:
    assert kept.status().state == "down"


def test_down_without_a_running_cluster_is_not_an_error(state: Path) -> None:
    assert kept.down() is False


def test_after_a_reboot_the_control_plane_is_died_even_if_its_pid_is_in_use(ready_before_reboot: Path) -> None:
    status = kept.status()
    assert status.state == "died"
    assert "the machine was restarted" in status.reason


def test_down_deletes_the_files_of_a_stopped_control_plane(ready_before_reboot: Path) -> None:
    kept.down()
    assert not ready_before_reboot.exists()
    assert kept.status().state == "down"


def test_status_shows_the_failed_process_and_the_end_of_its_log(state: Path) -> None:
    (state / "default").mkdir(parents=True)
    failure = Failure("kube-apiserver", "was ended by SIGKILL", "the last line", "2026-01-01T00:00:00+00:00")
    write_json(state / "default" / FAILED, asdict(failure))
    status = kept.status()
    assert status.state == "died"
    assert "kube-apiserver was ended by SIGKILL" in status.reason
    assert "the last line" in status.reason


@pytest.mark.parametrize("name", ["", "../elsewhere", "Prod", "-a", "a" * 41])
def test_an_invalid_name_is_refused(state: Path, name: str) -> None:
    with pytest.raises(ClusterError, match="--name"):
        kept.up(name)


def test_a_concurrent_up_is_refused_and_advised_to_wait(state: Path) -> None:
    state.mkdir()
    with FileLock(state / ".default.lock"), pytest.raises(ClusterError, match="Wait"):
        kept.up()


def test_another_system_than_linux_is_refused_with_an_alternative(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(ClusterError, match=r"Darwin.*--kubeconfig"):
        kept.up()


def test_a_file_in_place_of_the_folder_is_an_error_with_the_variable_to_set(state: Path) -> None:
    state.write_text("")
    with pytest.raises(ClusterError, match=kept.STATE_VARIABLE):
        kept.up()
