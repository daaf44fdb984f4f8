"""What is said of a kept control plane that is not there any more, and of a wrong wish. The rest needs a real one."""

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
def of_an_earlier_boot(state: Path) -> Path:
    directory = state / "default"
    directory.mkdir(parents=True)
    before = dataclasses.replace(this_process(), boot="an earlier one")
    ready = Ready(before, {}, "https://127.0.0.1:6443", "v1.36.4", "2026-01-01T00:00:00+00:00")
    write_json(directory / READY, asdict(ready))
    return directory


def test_where_nothing_was_ever_up_it_is_down(state: Path) -> None:
    assert kept.status().state == "down"


def test_ending_what_is_not_up_is_no_error(state: Path) -> None:
    assert kept.down() is False


def test_what_ran_before_the_machine_was_started_again_is_dead_though_its_pid_lives(of_an_earlier_boot: Path) -> None:
    status = kept.status()
    assert status.state == "died"
    assert "the machine was started again" in status.reason


def test_what_is_left_of_a_dead_one_is_cleared_away(of_an_earlier_boot: Path) -> None:
    kept.down()
    assert not of_an_earlier_boot.exists()
    assert kept.status().state == "down"


def test_the_process_that_died_is_named_with_the_end_of_its_log(state: Path) -> None:
    (state / "default").mkdir(parents=True)
    failure = Failure("kube-apiserver", "was ended by SIGKILL", "the last line", "2026-01-01T00:00:00+00:00")
    write_json(state / "default" / FAILED, asdict(failure))
    status = kept.status()
    assert status.state == "died"
    assert "kube-apiserver was ended by SIGKILL" in status.reason
    assert "the last line" in status.reason


@pytest.mark.parametrize("name", ["", "../elsewhere", "Prod", "-a", "a" * 41])
def test_a_name_that_is_no_name_is_refused(state: Path, name: str) -> None:
    with pytest.raises(ClusterError, match="--name"):
        kept.up(name)


def test_a_second_up_at_the_same_time_is_told_to_wait(state: Path) -> None:
    state.mkdir()
    with FileLock(state / ".default.lock"), pytest.raises(ClusterError, match="Wait"):
        kept.up()


def test_another_system_than_linux_is_named_with_another_way(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(ClusterError, match=r"Darwin.*--kubeconfig"):
        kept.up()


def test_a_file_where_the_folder_should_be_is_named_with_the_variable_that_chooses_another(state: Path) -> None:
    state.write_text("")
    with pytest.raises(ClusterError, match=kept.STATE_VARIABLE):
        kept.up()
