"""A process id identifies one process, not a later process with the same pid."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_identities.cluster.pid import ProcessId


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"])


def test_a_running_process_is_alive() -> None:
    assert ProcessId.of(os.getpid()).alive()


def test_a_process_with_the_same_pid_and_another_start_time_is_not_this_process() -> None:
    current = ProcessId.of(os.getpid())
    assert not dataclasses.replace(current, started=current.started - 1).alive()


def test_a_process_of_an_earlier_boot_is_not_alive() -> None:
    assert not dataclasses.replace(ProcessId.of(os.getpid()), boot="earlier boot").alive()


def test_a_signal_is_not_sent_to_a_later_process_with_the_same_pid(sleeper: subprocess.Popen[bytes]) -> None:
    process = ProcessId.of(sleeper.pid)
    dataclasses.replace(process, started=process.started - 1).signal(signal.SIGKILL)
    assert not process.wait(0.2)
    sleeper.kill()
    sleeper.wait()


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    process = ProcessId.of(sleeper.pid)
    process.signal(signal.SIGKILL)
    assert process.wait(20)
    assert not process.alive()
    sleeper.wait()


def test_an_unused_pid_is_an_error(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(ProcessLookupError):
        ProcessId.of(sleeper.pid)


def test_a_process_whose_main_thread_has_ended_is_alive_while_another_thread_runs() -> None:
    script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); "
    script += "ctypes.CDLL(None).pthread_exit(None)"
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        id_ = ProcessId.of(process.pid)
        while (state := Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]) != "Z":
            assert process.poll() is None, state
            time.sleep(0.01)
        assert id_.alive()
        assert not id_.wait(0.1)
    finally:
        process.kill()
        process.wait()
    assert not id_.alive()
