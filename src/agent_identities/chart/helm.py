"""Runs helm: renders the chart, one process for each distinct input, and installs it."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from agent_identities.chart.names import DEFAULT_NAMESPACE, DEFAULT_RELEASE
from agent_identities.chart.values import Values
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.chart.objects import Objects

DEFAULT_KUBERNETES_VERSION = "1.36.0"
"""What charts are rendered for when no cluster is asked: ``.Capabilities.KubeVersion``."""


class HelmError(AgentIdentitiesError):
    """Helm refused or failed; the text is Helm's own, without its frame."""


@dataclass(frozen=True, slots=True)
class Target:
    """For which release, namespace and API server a chart is rendered. ``api_versions`` as ``helm --api-versions``."""

    release: str = DEFAULT_RELEASE
    namespace: str = DEFAULT_NAMESPACE
    kube_version: str = DEFAULT_KUBERNETES_VERSION
    api_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a render gave: Helm's text, and its objects, read-only."""

    text: str = field(repr=False)
    objects: "Objects"


class Helm:
    """One helm binary: ``path`` to run it, ``version`` as "4.3.0"."""

    def __init__(self, path: Path, version: str) -> None:
        self.path = path
        self.version = version

    @property
    def major(self) -> int:
        """3 or 4."""
        return int(self.version.split(".", 1)[0])

    def run(self, *arguments: str, values: Values | None = None, env: Mapping[str, str] | None = None) -> str:
        """What ``helm ARGUMENTS`` prints, ``values`` added as ``--values``.

        Raises HelmError if it cannot be started or exits non-zero.
        """
        process = self.execute(*arguments, values=values, env=env)
        if process.returncode != 0:
            raise HelmError(clean(process.stderr) or f"helm {arguments[0]} exited with {process.returncode}.")
        return process.stdout

    def execute(
        self, *arguments: str, values: Values | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``helm ARGUMENTS`` to its end, whatever that is. Raises HelmError if it cannot be started.

        Helm gets the values as they were read, from memory: neither a pipe nor a secret is written to a disk.
        """
        with contextlib.ExitStack() as stack:
            files = {
                f"/dev/fd/{stack.enter_context(_in_memory(text)).fileno()}": name
                for name, text in _texts(values or Values())
            }
            try:
                process = subprocess.run(
                    [str(self.path), *arguments, *(f"--values={path}" for path in files)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[int(path.rpartition("/")[2]) for path in files],
                    env=env,
                    capture_output=True,
                    check=False,
                )
            except OSError as error:
                raise HelmError(
                    f"{self.path}: {error.strerror}: helm cannot be started. Is it built for this machine?"
                ) from None
        stderr = re.sub(
            r"/dev/fd/\d+", lambda path: files.get(path[0], path[0]), process.stderr.decode(errors="replace")
        )
        stdout = process.stdout.decode(errors="replace")
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def template(self, chart: Path, values: Values, target: Target) -> str:
        """What ``helm template`` prints. Raises HelmError with the chart's or the schema's own message."""
        arguments = ["template", target.release, str(chart), "--namespace", target.namespace]
        arguments += ["--kube-version", target.kube_version]
        arguments += [f"--api-versions={version}" for version in target.api_versions]
        return self.run(*arguments, values=values)


class Renders(Protocol):
    """Whatever renders one chart with one Helm: a process each time, or a worker that stays."""

    def render(self, values: Values, target: Target | None = None) -> Rendered:
        """The chart with these values. Raises HelmError where Helm refuses."""


class Renderer:
    """Renders one chart; the same input twice costs one process."""

    def __init__(self, helm: Helm, chart: Path) -> None:
        self.helm = helm
        self.chart = chart
        self._rendered: dict[tuple[str, Target], Rendered | HelmError] = {}

    def render(self, values: Values, target: Target | None = None) -> Rendered:
        """The chart with these values. Raises HelmError where Helm refuses, each time it is asked."""
        from agent_identities.chart.objects import Objects

        target = target or Target()
        key = (values.key(), target)
        if key not in self._rendered:
            try:
                text = self.helm.template(self.chart, values, target)
                self._rendered[key] = Rendered(text, Objects.from_yaml(text))
            except HelmError as error:
                self._rendered[key] = error
        result = self._rendered[key]
        if isinstance(result, HelmError):
            raise result
        return result


@dataclass(frozen=True, slots=True)
class Release:
    """One release on a cluster: the commands of a person who runs helm by hand."""

    helm: Helm
    chart: Path
    name: str
    namespace: str
    kubeconfig: Path
    context: str | None = None

    def _run(self, command: str, *arguments: str, values: Values | None = None) -> str:
        where = ["--namespace", self.namespace, "--kubeconfig", str(self.kubeconfig)]
        where += ["--kube-context", self.context] if self.context else []
        return self.helm.run(command, *arguments, *where, values=values)

    def install(self, values: Values, *flags: str, create_namespace: bool = True) -> str:
        """Installs, by default with the namespace where it is not there. Returns what Helm printed, NOTES included."""
        namespace = ["--create-namespace"] if create_namespace else []
        return self._run("install", self.name, str(self.chart), *namespace, *flags, values=values)

    def upgrade(self, values: Values, *flags: str) -> str:
        """Upgrades to these values alone (nothing is carried over from the release before)."""
        return self._run("upgrade", self.name, str(self.chart), "--reset-values", *flags, values=values)

    def rollback(self, revision: int, *flags: str) -> str:
        """Goes back to a revision."""
        return self._run("rollback", self.name, str(revision), *flags)

    def uninstall(self, *flags: str) -> str:
        """Removes the release and its history."""
        return self._run("uninstall", self.name, *flags)


def _texts(values: Values) -> Iterator[tuple[str, str]]:
    """The name and the text of each ``--values``, in order."""
    for source in values.sources:
        yield source.name, source.text
    if values.overrides:
        yield "-", overrides_text(values.overrides)


def _in_memory(text: str) -> IO[bytes]:
    """An open file that no folder lists: it is gone with the last process that has it open."""
    if sys.platform == "linux":
        file: IO[bytes] = os.fdopen(os.memfd_create("values"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    file.write(text.encode())
    file.seek(0)
    return file


_BEYOND_ASCII = re.compile("[\x7f-\uffff]")


def overrides_text(overrides: Mapping[str, Any]) -> str:
    """The overrides as a values file: JSON that is YAML, too.

    YAML takes no surrogate pairs, which is how JSON escapes what is beyond 16 bits, and folds or refuses some other
    characters where they stand by themselves: the former are written out, the latter escaped.
    """
    text = json.dumps(overrides, ensure_ascii=False)
    return _BEYOND_ASCII.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_FRAME = re.compile(r"^Error: (INSTALLATION FAILED: |UPGRADE FAILED: )?(execution error at \([^)]*\): )?", re.MULTILINE)


def clean(stderr: str) -> str:
    """Helm's message without the frame around it: earlier warnings, the template's place, the advice to debug."""
    start = stderr.find("Error: ")
    text = stderr[max(start, 0) :].replace("Use --debug flag to render out invalid YAML", "")
    return _FRAME.sub("", text).strip()
