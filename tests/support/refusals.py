"""What the chart's error messages must say, judged by meaning: no test holds the wording of a message.

A message must name the path in the values and the offending value, and end in a remediation. Where the remediation has
YAML to write, the YAML is applied to the values: the chart must then render.
"""

import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from agent_identities.chart import values, yaml
from agent_identities.errors import AgentIdentitiesError

Json = dict[str, Any]
Renders = Callable[[Json], bool]
"""Whether the chart renders with these values."""


class Problem(NamedTuple):
    """One problem of a message: the path in the values, and the text that follows the path."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


@dataclass(frozen=True)
class Refusal:
    """What a message must say.

    ``path``: as the message writes it; a JSON pointer ("/agents/a") where the schema refuses the values.
    ``names``: values that the message must quote: the offending one, and those to choose from.
    ``pasted``: whether the message has the YAML that fixes the values; else it has an instruction.
    ``problems``: the number of problems that the message must count; ``shown``: of these, it lists so many.
    """

    path: str
    names: tuple[str, ...] = ()
    pasted: bool = True
    problems: int = 1
    shown: int = 20


# ---- reading a message. No other file knows the form of messages.

_HEADING: Final = re.compile(r"^(?:(1) problem|(\d+) problems) in the values:$", re.MULTILINE)
_PROBLEM: Final = re.compile(r"^  (\S[^\n]*?): ((?:.*)(?:\n {3,}.*)*)", re.MULTILINE)
_BY_SCHEMA: Final = re.compile(r"^- at '([^']*)': (.*)", re.MULTILINE)
_BY_A_CALLED_TEMPLATE: Final = re.compile(r"^(agent-identities\.\w+): ((?:.*)(?:\n .*)*)", re.MULTILINE)
_CUT: Final = re.compile(r"^  \.\.\. and (\d+) more$", re.MULTILINE)


def problems(message: str) -> list[Problem]:
    """The problems that Helm's error lists, in order; none if it is another error."""
    if heading := _HEADING.search(message):
        return [Problem(*found) for found in _PROBLEM.findall(message[heading.end() :])]
    if found := _BY_SCHEMA.findall(message):
        return [Problem(pointer or "/", text) for pointer, text in found]
    return [Problem(*found) for found in _BY_A_CALLED_TEMPLATE.findall(message)]


def counted(message: str) -> int:
    """The number of problems that the message counts; 0 if it counts none."""
    heading = _HEADING.search(message)
    return int(heading[1] or heading[2]) if heading else 0


def paths(message: str) -> list[str]:
    """The paths of the problems, in order."""
    return [problem.path for problem in problems(message)]


def is_by_templates(message: str) -> bool:
    """Whether the templates refuse the values, not the schema or an error."""
    return counted(message) > 0


# ---- judging a message


def faults(message: str, wanted: Refusal, given: Json, renders: Renders) -> Iterator[str]:
    """The missing parts of a message about refused values, each as a sentence with the message."""
    found = problems(message)
    here = [problem for problem in found if problem.path == wanted.path]
    shown = "\n".join(map(str, found)) or message.strip()
    if not here:
        yield f"the message does not name the path {wanted.path}:\n{shown}"
        return
    if missing := [name for name in wanted.names if not any(_names(problem, name) for problem in here)]:
        yield f"the message does not name {', '.join(missing)}:\n{shown}"
    if any(lost in shown for lost in ("%!", "<nil>", "<no value>")):
        yield f"the message has a value that could not be formatted:\n{shown}"
    if is_by_templates(message):
        number = counted(message)
        if number != wanted.problems or len(found) != min(wanted.problems, wanted.shown):
            yield f"the message counts {number} problems and lists {len(found)}, of {wanted.problems}:\n{shown}"
        left = _CUT.search(message)
        if (int(left[1]) if left else 0) != max(0, wanted.problems - wanted.shown):
            yield f"the message does not count the problems that it leaves out:\n{shown}"
    if not wanted.path.startswith("/"):
        yield from _without_remediation(here, wanted, given, renders)


def _names(problem: Problem, name: str) -> bool:
    """Whether a message quotes a value: as whole words; a list (a, b) as the whole list."""
    before, after = (r"(?<!, )", r"(?!, )") if ", " in name else ("", "")
    before += r"(?<!\w)" if name[0].isalnum() else ""
    after += r"(?!\w)" if name[-1].isalnum() else ""
    return bool(re.search(f"{before}{re.escape(name)}{after}", problem.text))


def _without_remediation(here: list[Problem], wanted: Refusal, given: Json, renders: Renders) -> Iterator[str]:
    for problem in here:
        if not _INSTRUCTION.search(problem.text):
            yield f"the message does not say what to do:\n{problem}"
        elif wanted.pasted and not any(renders(fixed) for fixed in pasted(problem, given)):
            yield f"the chart does not render with the YAML of the message:\n{problem}"


_VERBS: Final = (
    "add|allow|annotate|change|choose|define|delete|end|exclude|give|grant|increase|keep|leave|lift|limit|list|lower|make"
    "|move|name|narrow|omit|pass|reduce|remove|rename|replace|set|shorten|specify|split|take|use|write"
)
_INSTRUCTION: Final = re.compile(rf"(?:^ *|[.:;,] (?:or )?|\band )(?:{_VERBS})\b", re.IGNORECASE | re.MULTILINE)
"""A verb in the imperative, at the beginning of a sentence or clause."""


# ---- applying the YAML of a message

_INLINE: Final = re.compile(r": ((?:[\w./-]+: )?(?:\[[^\]]*\]|\{.*\}|[^\s;,]+))(?=[;,.]?(?:\s|$))")
_BLOCK: Final = re.compile(r":\n((?: {3,}.*(?:\n|$))+)")
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PLACEHOLDER: Final = re.compile(r"<[a-z-]+>")
_CHART: Final = "agent-identities"


def pasted(problem: Problem, given: Json) -> Iterator[Json]:
    """The values with the YAML of a message written in: each piece at each location where a reader might write it.

    The schema is closed, so a piece renders only at its correct location.
    """
    steps = [name or int(number) for name, number in _STEP.findall(problem.path.partition(" and ")[0])]
    for piece in _pieces(problem.text):
        if isinstance(piece, dict):
            yield values.overlay(given, piece)
            for depth in range(len(steps), 0, -1):
                yield from _written(given, steps[:depth], piece)
        else:
            yield from _renamed(given, steps, str(piece))


def _pieces(text: str) -> list[Any]:
    """All YAML of a message, blocks first: what comes after a colon, as far as it can be read."""
    texts = [textwrap.dedent(block) for block in _BLOCK.findall(text)]
    colons = (_INLINE.match(text, found.start()) for found in re.finditer(": ", text))
    texts += [found[1] for found in colons if found]
    pieces = []
    for one in texts:
        try:
            piece = yaml.load(_PLACEHOLDER.sub("x", one), name="message")
        except AgentIdentitiesError:
            continue
        if isinstance(piece, dict) and _CHART in piece:  # a parent chart's values
            piece = piece[_CHART]
        pieces.append(piece)
    return pieces


def _written(given: Json, steps: list[str | int], piece: Json) -> Iterator[Json]:
    """The values with a piece of YAML under a path, as a sibling of its last key, and instead of the present value."""
    last = steps[-1]
    if isinstance(last, str) and last in piece:
        yield _at(given, steps[:-1], lambda there: there | piece)
        return
    yield _at(given, steps, lambda there: there | piece if isinstance(there, dict) else piece)
    yield _at(given, steps, lambda _: piece)


def _renamed(given: Json, steps: list[str | int], name: str) -> Iterator[Json]:
    """The values with one key of the map at a path, or its only text, replaced."""
    there: Any = given
    for step in steps:
        try:
            there = there[step]
        except (KeyError, IndexError, TypeError):
            return
    for key in there if isinstance(there, dict) else ():
        yield _at(given, steps, partial(_with_key, key=key, new=name))


def _with_key(there: Json, key: str, new: str) -> Json:
    return {new if one == key else one: value for one, value in there.items()}


def _at(given: Any, steps: list[str | int], change: Callable[[Any], Any]) -> Any:
    """A copy of the values with another value at a path; what leads there is made where it is missing."""
    if not steps:
        return change(given)
    step, *rest = steps
    if isinstance(given, list):
        return [_at(one, rest, change) if index == step else one for index, one in enumerate(given)]
    below = given if isinstance(given, dict) else {}
    return below | {step: _at(below.get(step, {}), rest, change)}
