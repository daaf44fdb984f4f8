"""What stands in the folder of a running control plane: the plan, and what became of it. Standard library only."""

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
    """Write a file that only its user can read, whole or not at all."""
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
    """What a supervisor starts, for whom, and what it takes away at the end.

    `owner`: the processes end when that process is gone; None: they stay until SIGTERM. `server`: where the API
    server's root is and who may ask it for its version. `remove`: files and folders that go as soon as the processes
    have ended (keys, data). `remove_directory`: the whole folder goes as well, unless a process died and the user has
    to see why. `at_end`: a command that runs once when all is over, for at most AT_END_SECONDS. `restartable`: a
    process that is killed stays down while the others run on, and SIGUSR1 starts it again.
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
        """Put the plan where the supervisor finds it. Raises OSError."""
        write_json(directory / PLAN, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The plan of this folder, None where there is none."""
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
    """All processes were ready: who they are, where the API server is, and when (ISO 8601, UTC)."""

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
        """What the folder says, None where nothing was ever ready."""
        data = _read_json(directory / READY)
        return None if data is None else cls.of(data)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: the process, in words how, the last lines of its log, and when (ISO 8601, UTC)."""

    process: str
    reason: str
    tail: str
    at: str

    @property
    def port_taken(self) -> bool:
        """Whether another process listens where this one wanted to."""
        return "address already in use" in self.tail

    @property
    def disk_full(self) -> bool:
        """Whether a write failed for lack of space."""
        return "no space left on device" in f"{self.reason} {self.tail}".lower()

    def __str__(self) -> str:
        """One sentence, and the log behind it."""
        log = f"\nThe last lines of its log:\n{self.tail}" if self.tail else ""
        return f"{self.process} {self.reason}.{log}"

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """What the folder says, None where nothing failed."""
        data = _read_json(directory / FAILED)
        return None if data is None else cls(**data)
