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
        self._refuse_idle_nulls(merged)
        return overlay(merged, self.overrides)

    def merged(self, chart: Path) -> dict[str, Any]:
        """The values that the chart's templates see, checked against its schema.

        Raises YamlError, and ValuesError with all that the schema refuses, each with its file, line and path. Then with
        all tiers that agents have and that the values do not define.
        """
        from agent_identities.chart import schema

        values = with_defaults(self.given, read(chart / "values.yaml"))
        judge = schema.validator((chart / "values.schema.json").read_text(encoding="utf-8"))
        problems = set(schema.problems(values, judge)) or set(schema.unknown_tiers(values))
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

    def _refuse_idle_nulls(self, merged: Mapping[str, Any]) -> None:
        """Refuses `agents: {a: }`: null removes an agent or a tier of an earlier file, and here there is none."""
        for section in ("agents", "tiers"):
            for name, value in (merged.get(section) or {}).items() if isinstance(merged.get(section), dict) else ():
                if value is not None:
                    continue
                entries = [source.content.get(section) for source in self.sources]
                if any(isinstance(each, dict) and each.get(name) is not None for each in entries):
                    continue
                for source in reversed(self.sources):
                    if place := source.positions.find((section, name), key=True):
                        raise ValuesError(
                            f"{source.name}:{place[0]}:{place[1]}: {section}.{name}: is empty (null), which removes an "
                            f"entry of an earlier file, and there is none. Write `{name}: {{}}`, or remove the line."
                        )


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
