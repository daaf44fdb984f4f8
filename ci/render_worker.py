"""Renders a chart thousands of times: one process has both Helm engines, and prints what `helm template` prints."""

import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from agent_identities.chart.helm import HelmError, Rendered, Target, clean, overrides_text
from agent_identities.chart.objects import Objects
from agent_identities.chart.values import Values
from agent_identities.errors import AgentIdentitiesError

Engine = Literal[3, 4]
"""The major version of Helm that renders."""

ChartFiles = Mapping[str, str | None]
"""Path in the chart ("templates/roles.yaml") -> the text that replaces the file; None removes the file."""

_GRACE_PERIOD = 5  # seconds between the end of its input and SIGKILL
_STDERR_LIMIT = 2000  # characters of its stderr that an error shows


class RenderWorkerError(AgentIdentitiesError):
    """The worker did not render: it has ended, an engine panicked, or it does not support the request."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One `helm template` of the chart at a path; ``chart_files`` replace, add or remove files of the chart."""

    engine: Engine
    chart: Path
    values: Values = field(default_factory=Values)
    target: Target = field(default_factory=Target)
    chart_files: ChartFiles = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The output of `helm template`: its stdout if ``ok``, else the error on its stderr, without earlier warnings."""

    ok: bool
    text: str

    def stdout(self) -> str:
        """The documents. Raises HelmError with Helm's message, as ``Helm.template`` does."""
        if not self.ok:
            raise HelmError(clean(self.text))
        return self.text


class RenderWorker:
    """The process, as a context manager. Threads can share it. It renders one request per core concurrently.

    ``path`` is the "render-worker" that ``toolchain.provide`` returns. The worker ends when its parent process ends,
    also after SIGKILL: it reads from a pipe that only the parent has open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Answer]] = {}
        self._state = threading.Lock()
        self._writing = threading.Lock()
        self._gone: str | None = "it was not started. Use it as a context manager"
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._stderr = Path()

    def __enter__(self) -> Self:
        descriptor, name = tempfile.mkstemp(prefix="render-worker-", suffix=".log")
        self._stderr = Path(name)
        try:
            self._process = subprocess.Popen(
                [str(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                start_new_session=True,  # the terminal sends SIGINT only to the parent, which then ends the worker
            )
        except OSError as error:
            self._stderr.unlink()
            raise RenderWorkerError(f"{self.path}: {error.strerror}: the render worker cannot be started.") from None
        finally:
            os.close(descriptor)
        self._gone = None
        self._reader = threading.Thread(target=self._read, name="render-worker", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The ID of the process; None if it does not run."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """Ends the process. It answers pending requests if it can do so within the grace period."""
        with self._state:
            process, self._process = self._process, None
            self._gone = self._gone or "it was closed"
        if process is None or process.stdin is None or process.stdout is None or self._reader is None:
            return
        # The timer starts without the writing lock: a writer can hold the lock and wait for the process until SIGKILL.
        timer = threading.Timer(_GRACE_PERIOD, _kill, [process])
        timer.start()
        try:
            with self._writing, contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()
        finally:
            timer.cancel()
        self._reader.join()
        process.stdout.close()
        self._stderr.unlink(missing_ok=True)

    def submit(self, request: RenderRequest) -> Future[Answer]:
        """Sends a request and returns at once. The future, or this call, raises RenderWorkerError without an answer."""
        answer: Future[Answer] = Future()
        number = next(self._numbers)
        line = json.dumps({"id": number, **as_json(request)}).encode() + b"\n"
        with self._state:
            if self._gone is not None:
                raise RenderWorkerError(f"The render worker cannot be asked: {self._gone}.")
            self._waiting[number] = answer
            process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            with self._writing:
                process.stdin.write(line)
                process.stdin.flush()
        except (OSError, ValueError):
            pass  # the process has ended: the reader notices this, too, and sets the error of all pending futures
        except BaseException:
            _kill(process)  # interrupted within a line: the worker could not parse the next request
            raise
        return answer

    def template(self, request: RenderRequest) -> str:
        """The text that `helm template` prints. Raises HelmError with its message, or RenderWorkerError."""
        return self.submit(request).result().stdout()

    def _read(self) -> None:
        """Sets the result of each future. When the process ends, the pending futures raise the reason."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        for line in process.stdout:
            try:
                response = json.loads(line)
            except ValueError:
                _kill(process)  # a truncated answer: the worker is ending, and later lines are not reliable
                continue
            with self._state:
                future = self._waiting.pop(response["id"], None)
            if future is not None:
                _settle(future, response)
        status = process.wait()
        with self._state:
            self._gone = self._gone or f"it ended by itself ({_ending(status)}){self._stderr_text()}"
            left, self._waiting = self._waiting, {}
            reason = self._gone
        for future in left.values():
            with contextlib.suppress(InvalidStateError):
                future.set_exception(RenderWorkerError(f"The render worker gave no answer: {reason}."))

    def _stderr_text(self) -> str:
        text = self._stderr.read_text(encoding="utf-8", errors="replace").strip()
        return f". Its stderr:\n{text[:_STDERR_LIMIT]}" if text else ""


class WorkerRenderer:
    """Renders one chart with a worker, as ``helm.Renderer`` does with processes. It caches nothing."""

    def __init__(
        self, worker: RenderWorker, chart: Path, *, engine: Engine = 4, chart_files: ChartFiles | None = None
    ) -> None:
        self.worker = worker
        self.chart = chart
        self.engine: Engine = engine
        self.chart_files: ChartFiles = dict(chart_files or {})

    def with_chart_files(self, chart_files: ChartFiles) -> "WorkerRenderer":
        """A renderer for a mutant of the chart, which is not written to disk: the files replace or add files."""
        files = {**self.chart_files, **chart_files}
        return WorkerRenderer(self.worker, self.chart, engine=self.engine, chart_files=files)

    def submit(self, values: Values, target: Target | None = None) -> Future[Answer]:
        """Sends a request and returns at once: concurrent requests use all cores."""
        request = RenderRequest(self.engine, self.chart, values, target or Target(), self.chart_files)
        return self.worker.submit(request)

    def render(self, values: Values, target: Target | None = None) -> Rendered:
        """The chart with these values. Raises HelmError where Helm refuses, and RenderWorkerError."""
        text = self.submit(values, target).result().stdout()
        return Rendered(text, Objects.from_yaml(text))


def as_json(request: RenderRequest) -> dict[str, Any]:
    """The request in the JSON that the worker reads."""
    chart, target = request.chart, request.target
    sources = [{"name": source.name, "text": source.text} for source in request.values.sources]
    if request.values.overrides:
        sources.append({"name": "-", "text": overrides_text(request.values.overrides)})
    return {
        "engine": request.engine,
        # The working directory of the worker never changes. The error for a missing chart has the requested path.
        "chart": str(chart.absolute() if chart.exists() else chart),
        "release": target.release,
        "namespace": target.namespace,
        "kubeVersion": target.kube_version,
        "apiVersions": list(target.api_versions),
        "values": sources,
        "chartFiles": dict(request.chart_files),
    }


def _settle(future: Future[Answer], response: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidStateError):  # the caller has cancelled the request
        if "fault" in response:
            future.set_exception(RenderWorkerError(f"The render worker gave no answer: {response['fault']}."))
        elif not response["ok"]:
            future.set_result(Answer(ok=False, text=response["error"]))
        elif "base64" in response:
            future.set_result(Answer(ok=True, text=base64.b64decode(response["base64"]).decode(errors="replace")))
        else:
            future.set_result(Answer(ok=True, text=response.get("text", "")))


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
