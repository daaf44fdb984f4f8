"""The values a chart is rendered with: each file read once, merged as Helm merges them, checked against the schema."""

import codecs
import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_identities import files
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.chart import yaml
    from agent_identities.chart.schema import Problem

STDIN = "-"
"""The name of the values file that is read from stdin."""


class ValuesError(AgentIdentitiesError):
    """Values files that cannot be read, or that the chart's schema refuses."""


@dataclass(frozen=True)
class Source:
    """One values file: its ``name`` as the user wrote it, and its ``text``. It may hold secrets: repr shows neither."""

    name: str
    text: str = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Source":
        """Reads a file, a pipe, or stdin for ``-``; to its end, and only now. Raises ValuesError."""
        name = str(path)
        try:
            content = files.read_stdin() if name == STDIN else files.read(path)
        except IsADirectoryError:
            raise ValuesError(f"{name}: is a directory. Name a values file: -f values.yaml") from None
        except OSError as error:
            advice = "Name a values file that can be read: -f values.yaml"
            if re.match(r"[a-z0-9+.-]+:/", name):
                advice = "URLs are not fetched. Download the file, or pipe it: curl URL | agent-identities ... -f -"
            raise ValuesError(f"{name}: {error.strerror}. {advice}") from None
        if not content and (name == STDIN or path.is_fifo()):
            raise ValuesError(
                f"{name}: is empty. Did the command that writes the values fail? For no values: -f /dev/null"
            )
        return cls("stdin" if name == STDIN else name, _decoded(content, name))

    @functools.cached_property
    def content(self) -> dict[str, Any]:
        """The mapping in the file; {} if it is empty. Raises YamlError, with the line, or ValuesError."""
        from agent_identities.chart import yaml  # not above: commands start Helm before the import

        content = yaml.load(self.text, name=self.name)
        if content is None:
            return {}
        if not isinstance(content, dict):
            from agent_identities.chart.schema import kind_of

            raise ValuesError(
                f"{self.name}: is {kind_of(content)} where a mapping is expected, such as `agents: {{}}`."
            )
        if _DIRECTIVE.match(self.text):
            raise ValuesError(f"{self.name}: begins with a YAML directive (%), which Helm 4 refuses. Remove the line.")
        return _in_64_bit_floats(content) if _LONG_NUMBER.search(self.text) else content

    @property
    def has_comments(self) -> bool:
        """Whether the file seems to have comments."""
        return _COMMENT.search(self.text) is not None

    @functools.cached_property
    def positions(self) -> "yaml.Positions":
        """Where each value is in the file."""
        from agent_identities.chart import yaml

        return yaml.Positions(self.text)


_DIRECTIVE = re.compile(r"(?:[ \t]*(?:#.*)?\r?\n)*%")
_COMMENT = re.compile(r"^(?:.*[ \t])?#", re.MULTILINE)
_LONG_NUMBER = re.compile(r"[0-9a-fA-F_]{14}")
_EXACT = 2**53


def _decoded(content: bytes, name: str) -> str:
    """The text of a file; a byte order mark is not part of it."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValuesError(f"{name}: is UTF-16, which Helm 4 refuses. Save the file as UTF-8.")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ValuesError(
            f"{name}:{line}:{column}: is not UTF-8 text (byte 0x{content[error.start]:02x}). Save the file as UTF-8."
        ) from None


def _in_64_bit_floats(value: Any) -> Any:
    """As Helm holds values: it reads every number as a float of 64 bits."""
    if isinstance(value, dict):
        return {key: _in_64_bit_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_64_bit_floats(item) for item in value]
    return int(float(value)) if type(value) is int and abs(value) > _EXACT else value


@dataclass(frozen=True, slots=True)
class IdleNull:
    """An entry with null that removes nothing.

    ``path`` in the values, ``place`` (file:line:column), and ``example``: a value for the entry, as YAML.
    """

    path: str
    place: str
    example: str


_PORTS = "ports: [{port: 443}]"
_ENTRIES = {
    ("agents", "*"): "{}",
    ("agents", "*", "namespaces", "*"): "[proxy]",
    ("agents", "*", "tiers"): "[]",
    ("agents", "*", "tokens", "*"): "{audience: vault.example}",
    ("network", "destinations", "*"): f"{{to: [{{ipBlock: {{cidr: 203.0.113.0/24}}}}], {_PORTS}}}",
    ("network", "sources", "*"): f"{{from: [{{podSelector: {{matchLabels: {{app: gateway}}}}}}], {_PORTS}}}",
    ("tiers", "*"): '{rules: [{apiGroups: [""], resources: [pods], verbs: [get, list, watch]}]}',
    ("workloadDefaults", "runAsUser"): "auto",
}
"""The entries that null removes and users can leave empty by mistake, each with an example."""


def _null_entries(values: Any, patterns: Mapping[tuple[str, ...], str]) -> list[tuple[tuple[str, ...], str]]:
    """The paths of null entries at the paths of ``patterns``, each with its example."""
    found: list[tuple[tuple[str, ...], str]] = []
    for pattern, example in patterns.items():
        level: list[tuple[tuple[str, ...], Any]] = [((), values)]
        for step in pattern:
            level = [
                ((*path, key), below)
                for path, mapping in level
                if isinstance(mapping, dict)
                for key, below in mapping.items()
                if step in ("*", key)
            ]
        found += [(path, example) for path, value in level if value is None]
    return found


def _has(values: Any, path: tuple[str, ...]) -> bool:
    """Whether the values have something else than null at the path."""
    for step in path:
        values = values.get(step) if isinstance(values, dict) else None
    return values is not None


@dataclass(frozen=True)
class Values:
    """What a user gives a chart: values files in order, then ``overrides`` over them all. Nothing is read again."""

    sources: tuple[Source, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, files: Iterable[Path], overrides: Mapping[str, Any] | None = None) -> "Values":
        """Reads the files, pipes and stdin (``-``) once. Raises ValuesError for what cannot be read.

        The texts are not parsed yet: Helm can be started with them meanwhile.
        """
        paths = tuple(files)
        if [str(path) for path in paths].count(STDIN) > 1:
            raise ValuesError("-f -: given twice, and stdin can be read only once. Give `-f -` once.")
        return cls(tuple(Source.read(path) for path in paths), overrides or {})

    def key(self) -> str:
        """The same text for the same input: file contents, not names."""
        return json.dumps([[source.text for source in self.sources], self.overrides], sort_keys=True)

    @functools.cached_property
    def given(self) -> dict[str, Any]:
        """Files and overrides merged, without the chart's defaults. Raises YamlError, ValuesError."""
        merged: dict[str, Any] = {}
        for source in self.sources:
            merged = overlay(merged, source.content)
        return overlay(merged, self.overrides)

    def merged(self, chart: Path) -> dict[str, Any]:
        """The values as the chart's templates complete them (`completed`), checked against its schema.

        Raises YamlError, and ValuesError with all that the schema refuses, each with its file, line and path. Then with
        all tiers that agents have and that the values do not define.
        """
        from agent_identities.chart import schema

        defaults = read(chart / "values.yaml")
        values = with_defaults(self.given, defaults)
        judge = schema.validator((chart / "values.schema.json").read_text(encoding="utf-8"))
        problems = set(schema.problems(values, judge))
        if not problems:
            values = completed(values, defaults)
            problems = set(schema.unknown_tiers(values))
        if problems:
            sentences = [text for _, text in sorted(map(self._located, problems))]
            if len(sentences) > 1:
                sentences.insert(0, f"{self.names}: {len(sentences)} problems in the values:")
            raise ValuesError("\n  ".join(sentences))
        return values

    @property
    def names(self) -> str:
        """The names of the files, for messages."""
        return ", ".join(source.name for source in self.sources) or "the values"

    def _located(self, problem: "Problem") -> tuple[tuple[int, int, int], str]:
        """A problem with the place of the value that counts: the last file's that gives it."""
        for number, source in reversed(list(enumerate(self.sources))):
            place = source.positions.find(problem.path, key=problem.at_key)
            if place is not None:
                return (number, *place), f"{source.name}:{place[0]}:{place[1]}: {problem}"
        return (len(self.sources), 0, 0), str(problem)

    @functools.cached_property
    def idle_nulls(self) -> tuple["IdleNull", ...]:
        """The entries with null that no earlier file sets: `agents: {a: }` declares no agent, and removes none."""
        return tuple(
            found
            for number, source in enumerate(self.sources)
            for path, example in _null_entries(source.content, _ENTRIES)
            if not any(_has(earlier.content, path) for earlier in self.sources[:number])
            and (found := self._idle(path, example)) is not None
        )

    def _idle(self, path: tuple[str, ...], example: str) -> "IdleNull | None":
        """None if a later file or an override sets the entry."""
        if _has(self.given, path):
            return None
        for source in reversed(self.sources):
            if place := source.positions.find(path, key=True):
                return IdleNull(".".join(path), f"{source.name}:{place[0]}:{place[1]}", example)
        return None


def read(path: Path) -> dict[str, Any]:
    """The mapping in a values file; {} if it is empty. Raises ValuesError or YamlError with the file and the line."""
    return Source.read(path).content


def load(chart: Path, files: Iterable[Path] = (), overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The values that the chart's templates see: ``Values.read`` and ``Values.merged`` in one call."""
    return Values.read(files, overrides).merged(chart)


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``, as Helm takes one values file after the other: mappings merge, all else replaces."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def with_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Values over the chart's own, as Helm does it last: here a null removes the chart's default."""
    merged = {key: value for key, value in values.items() if not (value is None and key in defaults)}
    for key, default in defaults.items():
        if key not in values:
            merged[key] = default
        elif isinstance(values[key], Mapping) and isinstance(default, Mapping):
            merged[key] = with_defaults(values[key], default)
    return merged


def completed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the chart completes them (templates/_values.tpl), after ``with_defaults``.

    Keys with null are removed, and absent keys have their default: for Helm, a null deletes the default. Agents and
    tiers with `enabled: false` are removed.
    """
    free = {key: value for key, value in values.items() if key == "global" or key.startswith("x-")}
    full = _filled(_without_null({key: value for key, value in values.items() if key not in free}), defaults)
    for section in ("agents", "tiers"):
        full[section] = {name: each for name, each in full.get(section, {}).items() if each.get("enabled", True)}
    return full | free


_MEANT = frozenset({"runAsUser", "runAsGroup", "fsGroup"})
"""Keys of a workload for which null is a value: the platform chooses the ID."""


def _without_null(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_null(each) for key, each in value.items() if each is not None or key in _MEANT}


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values with each default that is absent. `podLabels` is a mapping of the user's own keys: all or none."""
    full = dict(values)
    for key, default in defaults.items():
        below = full.get(key)
        if below is None:
            full[key] = default
        elif isinstance(default, dict) and key != "podLabels":
            full[key] = _filled(below, default)
    return full
