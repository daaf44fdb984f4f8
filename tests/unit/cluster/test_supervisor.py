"""The processes of a supervisor run until they are stopped or their owner ends, and then no process is left.

The tests start real processes, with smaller programs than etcd.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_identities.cluster.launch import LaunchError, end, launch, start_again, this_process
from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.process import Command
from agent_identities.cluster.readiness import Check, Client
from agent_identities.cluster.state import Failure, Plan, Ready

SECONDS = 30.0

OWNER = """
import sys, time
from pathlib import Path
from agent_identities.cluster.launch import launch, this_process
from agent_identities.cluster.state import Plan
plan = Plan.read(Path(sys.argv[1]))
import dataclasses
launch(Path(sys.argv[1]), dataclasses.replace(plan, owner=this_process()))
print("ready", flush=True)
time.sleep(600)
"""


def command(directory: Path, script: str, name: str = "sleeper", check: Check | None = None) -> Command:
    """A shell that writes its pid to a file, so that a test can find the process."""
    return Command(
        name=name,
        argv=(
            "sh",
            "-c",
            f"echo $$ > {directory / name}.part; mv {directory / name}.part {directory / name}; {script}",
        ),
        log=str(directory / f"{name}.log"),
        checks=(check,) if check else (),
    )


def plan(*commands: Command, **changes: Any) -> Plan:
    return dataclasses.replace(Plan(commands, owner=this_process(), timeout=SECONDS), **changes)


def failing_check(directory: Path) -> Check:
    authority = directory / "ca.crt"
    return Check("https://127.0.0.1:1/readyz", Client(str(authority), str(authority), str(authority)))


def started(directory: Path, name: str = "sleeper") -> ProcessId:
    """Wait for the process of a command of `command`."""
    deadline = time.monotonic() + SECONDS
    while not (directory / name).exists():
        assert time.monotonic() < deadline, f"{name} was not started"
        time.sleep(0.01)
    return ProcessId.of(int((directory / name).read_text()))


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Callable[[Plan], subprocess.Popen[str]]]:
    """Start a process that owns the processes of the plan."""
    processes = []

    def start(owned: Plan) -> subprocess.Popen[str]:
        owned.write(tmp_path)
        process = subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_ready_process_runs_until_it_is_stopped(tmp_path: Path) -> None:
    ready = launch(tmp_path, plan(command(tmp_path, "exec sleep 600")))
    process = ready.processes["sleeper"]
    assert process.alive()
    end(ready.supervisor)
    assert not process.alive()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_every_process_ends_with_its_owner_for_any_signal(
    tmp_path: Path, owner: Callable[[Plan], subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = owner(plan(command(tmp_path, "exec sleep 600")))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    sleeper = started(tmp_path)
    process.send_signal(number)
    assert sleeper.wait(SECONDS)


def test_every_process_ends_if_the_launching_process_is_killed_before_they_are_ready(
    tmp_path: Path, owner: Callable[[Plan], subprocess.Popen[str]]
) -> None:
    process = owner(plan(command(tmp_path, "exec sleep 600", check=failing_check(tmp_path))))
    sleeper = started(tmp_path)
    process.kill()
    assert sleeper.wait(SECONDS)


def test_no_process_runs_after_an_interrupted_start(tmp_path: Path) -> None:
    def interrupt() -> None:
        started(tmp_path)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        launch(tmp_path, plan(command(tmp_path, "exec sleep 600", check=failing_check(tmp_path))))
    assert not Path(f"/proc/{(tmp_path / 'sleeper').read_text().strip()}").exists()


def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    ready = launch(tmp_path, plan(command(tmp_path, "exec sleep 600")))
    ready.supervisor.signal(signal.SIGKILL)
    assert ready.processes["sleeper"].wait(SECONDS)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ready = launch(tmp_path, plan(command(tmp_path, "trap '' TERM; while true; do sleep 1; done")))
    end(ready.supervisor)
    assert not ready.processes["sleeper"].alive()


def test_an_owner_whose_pid_was_reused_has_ended(tmp_path: Path) -> None:
    earlier = dataclasses.replace(this_process(), started=1)
    with pytest.raises(LaunchError):
        launch(tmp_path, plan(command(tmp_path, "exec sleep 600"), owner=earlier))


def test_a_process_without_owner_outlives_the_launching_process(tmp_path: Path) -> None:
    plan(command(tmp_path, "exec sleep 600"), owner=None).write(tmp_path)
    without_owner = OWNER.replace("dataclasses.replace(plan, owner=this_process())", "plan").replace("600", "0")
    subprocess.run([sys.executable, "-c", without_owner, tmp_path], check=True, stdout=subprocess.DEVNULL)
    ready = Ready.read(tmp_path)
    assert ready is not None
    assert ready.processes["sleeper"].alive()
    end(ready.supervisor)


def test_a_process_that_ends_during_the_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as refused:
        launch(tmp_path, plan(command(tmp_path, "echo no such flag >&2; exit 3", check=failing_check(tmp_path))))
    assert refused.value.failure.process == "sleeper"
    assert "exit code 3" in refused.value.failure.reason
    assert refused.value.failure.tail == "no such flag"


def test_a_process_that_is_not_ready_in_time_is_reported_with_the_failing_check(tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as refused:
        launch(tmp_path, plan(command(tmp_path, "exec sleep 600", check=failing_check(tmp_path)), timeout=0.3))
    assert refused.value.failure.process == "sleeper"
    assert "https://127.0.0.1:1/readyz" in refused.value.failure.reason


def test_a_missing_program_is_reported(tmp_path: Path) -> None:
    missing = Command(name="etcd", argv=(str(tmp_path / "etcd"),), log=str(tmp_path / "etcd.log"))
    with pytest.raises(LaunchError, match="etcd could not be started"):
        launch(tmp_path, plan(missing))


def test_if_a_process_fails_every_process_ends_and_the_reason_is_recorded(tmp_path: Path) -> None:
    ready = launch(
        tmp_path,
        plan(command(tmp_path, "echo last line; exec sleep 600"), command(tmp_path, "exec sleep 600", "other")),
    )
    ready.processes["sleeper"].signal(signal.SIGKILL)
    assert ready.supervisor.wait(SECONDS)
    failure = Failure.read(tmp_path)
    assert failure is not None
    assert (failure.process, failure.reason, failure.tail) == ("sleeper", "was ended by SIGKILL", "last line")
    assert not ready.processes["other"].alive()


def test_a_killed_process_of_a_restartable_plan_is_restarted_while_the_others_keep_running(tmp_path: Path) -> None:
    dependency, dependent = (command(tmp_path, "exec sleep 600", name) for name in ("dependency", "dependent"))
    ready = launch(tmp_path, plan(dependency, dataclasses.replace(dependent, after=("dependency",)), restartable=True))
    ready.processes["dependency"].signal(signal.SIGKILL)
    assert ready.processes["dependency"].wait(SECONDS)
    again = start_again(tmp_path, ready, SECONDS)
    assert again.processes["dependency"].alive()
    assert again.processes["dependent"] == ready.processes["dependent"]
    assert Ready.read(tmp_path) == again
    end(again.supervisor)
    assert not any(process.alive() for process in again.processes.values())


def test_if_a_process_of_a_restartable_plan_ends_by_itself_every_process_ends(tmp_path: Path) -> None:
    commands = command(tmp_path, "exec sleep 600"), command(tmp_path, "exec sleep 600", "mortal")
    ready = launch(tmp_path, plan(*commands, restartable=True))
    ready.processes["mortal"].signal(signal.SIGTERM)
    assert ready.supervisor.wait(SECONDS)
    assert not ready.processes["sleeper"].alive()
    assert "mortal was ended by SIGTERM" in str(Failure.read(tmp_path))


def test_if_a_process_cannot_be_restarted_every_process_ends_and_the_error_says_why(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.symlink_to("/bin/sleep")
    mortal = Command("mortal", (str(program), "600"), str(tmp_path / "mortal.log"))
    ready = launch(tmp_path, plan(command(tmp_path, "exec sleep 600"), mortal, restartable=True))
    program.unlink()
    ready.processes["mortal"].signal(signal.SIGKILL)
    assert ready.processes["mortal"].wait(SECONDS)
    with pytest.raises(LaunchError, match="mortal could not be started"):
        start_again(tmp_path, ready, SECONDS)
    assert ready.supervisor.wait(SECONDS)
    assert not ready.processes["sleeper"].alive()


def test_keys_and_data_are_deleted_with_the_processes_and_logs_are_kept(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (tmp_path / "data").mkdir()
    started_plan = plan(
        command(tmp_path, "echo hello; exec sleep 600"), remove=(str(tmp_path / "key"), str(tmp_path / "data"))
    )
    end(launch(tmp_path, started_plan).supervisor)
    assert not (tmp_path / "key").exists()
    assert not (tmp_path / "data").exists()
    assert (tmp_path / "sleeper.log").read_text() == "hello\n"


def test_the_folder_is_deleted_if_the_owner_is_killed(
    tmp_path: Path, owner: Callable[[Plan], subprocess.Popen[str]]
) -> None:
    process = owner(plan(command(tmp_path, "exec sleep 600"), remove_directory=True))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    ready = Ready.read(tmp_path)
    assert ready is not None
    process.kill()
    assert ready.supervisor.wait(SECONDS)
    assert not tmp_path.exists()


def test_a_command_with_once_is_ready_when_it_has_succeeded_and_at_end_runs_at_the_end(tmp_path: Path) -> None:
    def once(name: str) -> Command:
        return dataclasses.replace(command(tmp_path, "true", name), once=True)

    ready = launch(tmp_path, plan(once("create"), at_end=once("delete")))
    assert (tmp_path / "create").exists()
    assert not (tmp_path / "delete").exists()
    end(ready.supervisor, at_end=True)
    assert (tmp_path / "delete").exists()


def test_a_waiting_supervisor_does_not_use_the_cpu(tmp_path: Path) -> None:
    ready = launch(tmp_path, plan(dataclasses.replace(command(tmp_path, "true"), once=True)))
    stat = Path(f"/proc/{ready.supervisor.pid}/stat")

    def ticks() -> int:
        return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))

    before = ticks()
    time.sleep(0.5)
    assert ticks() - before <= 5  # of 50
    end(ready.supervisor)


def test_the_supervisor_does_not_import_a_file_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('wrong json')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry))
    monkeypatch.chdir(tmp_path)
    ready = launch(tmp_path, plan(command(tmp_path, "exec sleep 600")))
    assert ready.processes["sleeper"].alive()
    end(ready.supervisor)
