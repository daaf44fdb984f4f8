"""Streams that are closed or full, and signals: the exit status of a command, and what it leaves behind."""

import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from agent_identities.cluster import kept
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.kubeconfig import load
from agent_identities.toolchain import cache
from support import commands
from support.commands import agent_identities
from support.server import eventually

KUBECONFIG = """
current-context: a
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {exec: {command: ./plugin, apiVersion: client.authentication.k8s.io/v1beta1}}}]
"""
PROGRAM = "import sys\nfrom agent_identities.cli.process import run\n"


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    """Let SIGHUP reach the commands: below nohup, they would inherit it ignored."""
    before = signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    yield
    signal.signal(signal.SIGHUP, before)


def shell(line: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program by a line of the shell, in which it is "$@"."""
    argv = ["bash", "-o", "pipefail", "-c", line, "bash", sys.executable, "-c", PROGRAM + program]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


SMALL = "run(lambda: print('x'))"
LARGE = "run(lambda: print('x' * 1_000_000))"


@pytest.mark.parametrize("program", [SMALL, LARGE])
def test_a_reader_that_is_gone_ends_a_command_as_sigpipe_does(program: str) -> None:
    done = shell('{ sleep 0.5; "$@"; } | true', program)
    assert done.returncode == 141
    assert done.stderr == ""


def test_a_reader_that_is_gone_is_no_finding_of_a_command_of_typer() -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '{ sleep 0.5; "$@"; } | true', "bash", *agent_identities("--version")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.parametrize("program", [SMALL, LARGE, "run(lambda: print('x') or sys.exit(1))"])
def test_a_full_disk_is_one_sentence(program: str) -> None:
    done = shell('"$@" > /dev/full', program)
    assert done.returncode == 2
    assert done.stderr.startswith("agent-identities: standard output: No space left on device.")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_of_stderr_leaves_the_exit_status() -> None:
    program = "from agent_identities.errors import AgentIdentitiesError\ndef fail(): raise AgentIdentitiesError('x')\n"
    assert shell('"$@" 2> /dev/full', f"{program}run(fail)").returncode == 2


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_leads_nowhere_and_no_file_takes_its_number(closed: str, tmp_path: Path) -> None:
    program = f"""
def write():
    file = open({str(tmp_path / "file")!r}, "w")
    assert file.fileno() > 2
    print(sys.stdin.read()[:0] + "x")
    print("x", file=sys.stderr)
    file.write("written")
    file.close()
run(write)"""
    done = shell(f'"$@" {closed}', program)
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "written"


def test_a_file_that_cannot_be_written_is_one_sentence() -> None:
    done = shell('"$@"', "run(lambda: open('/proc/no/such', 'w'))")
    assert done.returncode == 2
    assert done.stderr.startswith("agent-identities: /proc/no/such: No such file or directory.")


def test_ctrl_c_while_modules_are_imported_is_one_line() -> None:
    program = """
import sys
from agent_identities.__main__ import main
class Interrupt:
    def find_spec(self, *_): raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
main()"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "agent-identities: interrupted\n"


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME and without an entry in /etc/passwd, as in many containers."""

    def unknown(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", cache.VARIABLE, kept.STATE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize("use", [lambda: load(environment={}), kept.status, cache.root])
def test_a_user_without_a_home_gets_one_sentence(use: Callable[[], object]) -> None:
    with pytest.raises(AgentIdentitiesError, match="HOME is not set"):
        use()


@pytest.mark.usefixtures("no_home")
def test_a_user_without_a_home_can_name_a_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    assert load(tmp_path / "kubeconfig", environment={}).server == "https://127.0.0.1:1"


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_a_command_after_it_has_cleaned_up(number: signal.Signals, status: int, tmp_path: Path) -> None:
    program = f"""
import pathlib, tempfile, time
def work():
    with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):
        print("ready", flush=True)
        try:
            time.sleep(60)
        finally:
            import os, signal
            os.kill(os.getpid(), signal.SIGTERM)  # another one does not end what removes the rest
run(work)"""
    if number == signal.SIGINT:
        program = program.replace("signal.SIGTERM", "signal.SIGCONT")
    with commands.started([sys.executable, "-c", PROGRAM + program]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_hangup_that_the_user_ignores_is_ignored() -> None:
    done = shell('trap "" HUP; "$@"', "import os, signal\nrun(lambda: os.kill(os.getpid(), signal.SIGHUP))")
    assert done.returncode == 0


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_the_credential_plugin_of_a_command_too(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    pid_file = tmp_path / "pid"
    (tmp_path / "plugin").write_text(
        f"#!/bin/sh\necho $$ > {pid_file}.part; mv {pid_file}.part {pid_file}; exec sleep 60\n"
    )
    (tmp_path / "plugin").chmod(0o700)
    argv = agent_identities("quarantine", "x", f"--kubeconfig={tmp_path / 'kubeconfig'}")
    with commands.started(argv) as process:
        eventually(pid_file.exists)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == status
    pid = int(pid_file.read_text())
    eventually(lambda: not Path(f"/proc/{pid}").exists())
