"""The state files in the folder of a control plane: the plan and its outcome. Standard library only."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.process import Command
from agent_identities.cluster.readiness import Check, Client

AT_END_SECONDS = 120.0
PLAN, READY, FAILED, SUPERVISOR_LOG = "plan.json", "ready.json", "failed.json", "supervisor.log"


def write_json(path: Path, value: object) -> None:
    """Write a file atomically, with mode 0600."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=1)
    part.replace(path)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """The processes that a supervisor starts, their owner, and the files that it deletes at the end.

    `owner`: the processes end when that process ends. None: they run until SIGTERM. `server`: the root URL of the API
    server and the client to request its version with. `remove`: files and folders (keys, data) to delete when the
    processes have ended. `remove_directory`: also delete the whole folder, unless a process failed, so that the user
    can read the logs. `at_end`: a command to run once at the end, for at most AT_END_SECONDS. `restartable`: if a
    process is killed, the others keep running, and SIGUSR1 restarts the killed process.
    """

    commands: tuple[Command, ...]
    owner: ProcessId | None
    timeout: float
    server: Check | None = None
    remove: tuple[str, ...] = ()
    remove_directory: bool = False
    at_end: Command | None = None
    restartable: bool = False

    def write(self, directory: Path) -> None:
        """Write the plan to the folder of the supervisor. Raises OSError."""
        write_json(directory / PLAN, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The plan of this folder, or None."""
        data = _read_json(directory / PLAN)
        if data is None:
            return None
        return cls(
            commands=tuple(_command(command) for command in data["commands"]),
            owner=ProcessId(**data["owner"]) if data["owner"] else None,
            timeout=data["timeout"],
            server=_check(data["server"]) if data["server"] else None,
            remove=tuple(data["remove"]),
            remove_directory=data["remove_directory"],
            at_end=_command(data["at_end"]) if data["at_end"] else None,
            restartable=data["restartable"],
        )


def _check(data: dict[str, Any]) -> Check:
    return Check(url=data["url"], client=Client(**data["client"]), non_empty=data["non_empty"])


def _command(data: dict[str, Any]) -> Command:
    return Command(
        name=data["name"],
        argv=tuple(data["argv"]),
        log=data["log"],
        checks=tuple(_check(check) for check in data["checks"]),
        after=tuple(data["after"]),
        once=data["once"],
        environment=tuple((name, value) for name, value in data["environment"]),
        directory=data["directory"],
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """All processes are ready: their ids, the URL and version of the API server, and the time (ISO 8601, UTC)."""

    supervisor: ProcessId
    processes: dict[str, ProcessId]
    url: str
    version: str
    since: str

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """From its JSON form."""
        return cls(
            supervisor=ProcessId(**data["supervisor"]),
            processes={name: ProcessId(**process) for name, process in data["processes"].items()},
            url=data["url"],
            version=data["version"],
            since=data["since"],
        )

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The record in this folder, None if the processes have not become ready."""
        data = _read_json(directory / READY)
        return None if data is None else cls.of(data)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure: the process, the reason, the last lines of the log of the process, and the time (ISO 8601, UTC)."""

    process: str
    reason: str
    tail: str
    at: str

    @property
    def port_taken(self) -> bool:
        """Whether another process listens on the port."""
        return "address already in use" in self.tail

    @property
    def disk_full(self) -> bool:
        """Whether a write failed because the disk is full."""
        return "no space left on device" in f"{self.reason} {self.tail}".lower()

    def __str__(self) -> str:
        """One sentence, followed by the end of the log."""
        log = f"\nThe last lines of its log:\n{self.tail}" if self.tail else ""
        return f"{self.process} {self.reason}.{log}"

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The record in this folder, None if no process failed."""
        data = _read_json(directory / FAILED)
        return None if data is None else cls(**data)
