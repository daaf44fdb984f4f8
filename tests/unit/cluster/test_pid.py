"""A process id means one process, not whoever has the number now."""

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


def test_a_later_process_with_the_same_pid_is_another_one() -> None:
    me = ProcessId.of(os.getpid())
    assert not dataclasses.replace(me, started=me.started - 1).alive()


def test_a_process_of_an_earlier_boot_is_gone() -> None:
    assert not dataclasses.replace(ProcessId.of(os.getpid()), boot="an earlier one").alive()


def test_a_signal_never_reaches_a_later_process_with_the_same_pid(sleeper: subprocess.Popen[bytes]) -> None:
    now = ProcessId.of(sleeper.pid)
    dataclasses.replace(now, started=now.started - 1).signal(signal.SIGKILL)
    assert not now.wait(0.2)
    sleeper.kill()
    sleeper.wait()


def test_a_killed_process_is_gone_though_nobody_has_collected_it(sleeper: subprocess.Popen[bytes]) -> None:
    process = ProcessId.of(sleeper.pid)
    process.signal(signal.SIGKILL)
    assert process.wait(20)
    assert not process.alive()
    sleeper.wait()


def test_asking_for_a_pid_nobody_has_is_an_error(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(ProcessLookupError):
        ProcessId.of(sleeper.pid)


def test_a_process_whose_first_thread_alone_has_ended_still_runs() -> None:
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
