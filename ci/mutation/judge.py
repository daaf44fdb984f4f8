"""Judges a chart, or a mutant of it: which invariants it breaks, over all cases."""

import functools
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from agent_identities.chart.objects import KubeObject, Objects, thaw
from agent_identities.chart.values import Values
from agent_identities.errors import AgentIdentitiesError
from mutation.mutant import Broken, StaleMutantError, Verdict
from mutation.reach import Reach
from render_worker import Answer, RenderWorkerError, WorkerRenderer
from support.cases import Case
from support.invariants import ADMISSION, INVARIANTS
from support.refusals import faults

RENDERS = "renders"
"""The invariant that the chart accepts valid values, and prints objects."""

REFUSES = "refuses"
"""The invariant that the chart refuses invalid values, with path, value and remediation (support.refusals)."""

_SENTENCES = 3
"""The maximum number of sentences of an invariant about one case."""


class Judge:
    """Compares a mutant's output with the chart's: equal output is not judged.

    The first case, and the cases that noticed other mutants of a file, are rendered first; then the others, by size.
    """

    def __init__(self, renderer: WorkerRenderer, cases: Sequence[Case]) -> None:
        self.renderer, self.cases = renderer, list(cases)
        self._by_name = {case.name: case for case in self.cases}
        self._answers = {case.name: answer for case, answer in self._render(renderer, self.cases)}
        self._size = {name: len(answer.text) for name, answer in self._answers.items()}
        self._noticed: dict[str, Counter[str]] = {}
        self._renders: dict[str, bool] = {}
        self.reach: Reach | None = None
        self._lock = threading.Lock()
        if len(self._answers) != len(self.cases):
            twice = [name for name, number in Counter(case.name for case in self.cases).items() if number > 1]
            raise ValueError(f"cases with the same name: {', '.join(twice)}")

    @staticmethod
    def _render(renderer: WorkerRenderer, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
        asked = [(case, _with(renderer, case).submit(case.given, case.target)) for case in cases]
        for case, future in asked:
            yield case, future.result()

    def baseline(self) -> Broken:
        """Invariant -> failures of the unchanged chart; empty if the chart is correct."""
        found: Broken = {}
        for case in self.cases:
            for invariant, sentences in self.broken(case.name).items():
                found.setdefault(invariant, []).extend(f"{case.name}: {sentence}" for sentence in sentences)
        return found

    def broken(self, name: str) -> Broken:
        """The failures of the unchanged chart in one case."""
        return self._broken(self._case(name), self._answers[name])

    def message(self, name: str) -> str:
        """The output of the unchanged chart in one case."""
        return self._answers[name].text

    def judge(self, path: str, text: str | None, *, changed: tuple[int, int] | None = None) -> Verdict:
        """Judges a chart in which ``text`` replaces one file, up to the first case that breaks an invariant.

        ``changed``: start and end of the difference in the unchanged file. If it is known which cases render that
        part, only these cases are rendered.
        """
        mutant = self.renderer.with_chart_files({path: text})
        verdict = Verdict()
        for case in self._worth_rendering(path, changed):
            broken, differs = self._compare(case, _answer(mutant, case))
            verdict.differs = differs or verdict.differs
            if broken:
                with self._lock:
                    self._noticed.setdefault(path, Counter())[case.name] += 1
                return Verdict(broken, case.name)
        return verdict

    def judge_case(self, name: str, path: str, text: str | None) -> Broken:
        """The failures in one case of a chart in which ``text`` replaces one file."""
        case = self._case(name)
        return self._compare(case, _answer(self.renderer.with_chart_files({path: text}), case))[0]

    def _case(self, name: str) -> Case:
        if name not in self._by_name:
            raise StaleMutantError(f"{name}: there is no such case (tests/support/cases.py).")
        return self._by_name[name]

    def find_reach(self, texts: Mapping[str, str]) -> Reach:
        """Finds the cases that render each part of these templates. Takes a minute, and saves more time later."""
        self.reach = Reach(self.renderer, self.cases, texts)
        return self.reach

    def _worth_rendering(self, path: str, changed: tuple[int, int] | None) -> Iterator[Case]:
        """The cases that can show a change, likely and fast cases first; at least one, if there are no branches."""
        order = self._in_order(path)
        if self.reach is not None and changed is not None:
            there = [case for case in order if self.reach.may_show(case, path, *changed)]
            order = there or order[:1]
        yield from order

    def _in_order(self, path: str) -> list[Case]:
        with self._lock:
            noticed = Counter(self._noticed.get(path, {}))
        asked = [case for case in self.cases if case.about in ("", path)]
        return sorted(asked, key=lambda case: (-noticed[case.name], case is not self.cases[0], self._size[case.name]))

    def _compare(self, case: Case, answer: Answer) -> tuple[Broken, str]:
        """The invariants that a mutant's output breaks; if none, the kind of difference."""
        before = self._answers[case.name]
        if (answer.ok, answer.text) == (before.ok, before.text):
            return {}, ""
        broken = self._broken(case, answer)
        if REFUSES in broken:
            broken[REFUSES].append(f"before the change the message was:\n{before.text.strip()}")
        return broken, "" if broken else _difference(before, answer)

    def _broken(self, case: Case, answer: Answer) -> Broken:
        if case.refusal is not None:
            if answer.ok:
                return {REFUSES: [f"{case.name}: the chart accepts the values"]}

            def renders(given: Any) -> bool:
                return self._takes(case, given)

            wrong = list(faults(answer.text, case.refusal, dict(case.given.overrides), renders))
            return {REFUSES: wrong} if wrong else {}
        try:
            objects = objects_of(answer.stdout())
        except AgentIdentitiesError as error:
            return {RENDERS: [str(error)]}
        return broken_by(case, objects)

    def _takes(self, case: Case, given: Any) -> bool:
        """Whether the unchanged chart accepts the values of a case with these overrides."""
        key = json.dumps([case.name if case.given.sources else "", str(case.target), given])
        if key not in self._renders:
            asked = Values(case.given.sources, given)
            self._renders[key] = _with(self.renderer, case).submit(asked, case.target).result().ok
        return self._renders[key]


def _answer(renderer: WorkerRenderer, case: Case) -> Answer:
    try:
        return _with(renderer, case).submit(case.given, case.target).result()
    except RenderWorkerError:
        return Answer(ok=False, text="the engine itself gave up")


def _with(renderer: WorkerRenderer, case: Case) -> WorkerRenderer:
    """The renderer, with the files of the case."""
    return renderer.with_chart_files(case.files) if case.files else renderer


def objects_of(text: str) -> Objects:
    """The objects in the output of `helm template`. The mutants share most documents: each document is parsed once."""
    return Objects(obj for document in re.split(r"^---$", text, flags=re.MULTILINE) for obj in _document(document))


@functools.lru_cache(maxsize=20_000)
def _document(text: str) -> tuple[KubeObject, ...]:
    return tuple(Objects.from_yaml(text).values())


def broken_by(case: Case, objects: Objects) -> Broken:
    """The invariants that the objects of a case break."""
    found = {one.id: list(islice(_sentences(one.broken(case, objects)), _SENTENCES)) for one in INVARIANTS}
    return {invariant: sentences for invariant, sentences in found.items() if sentences}


def _sentences(sentences: Iterable[str]) -> Iterator[str]:
    """The failures of an invariant; objects that it cannot read are a failure."""
    try:
        yield from sentences
    except (AgentIdentitiesError, KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        yield f"cannot be read: {error!r}"


def _difference(before: Answer, after: Answer) -> str:
    """The differences of two answers: "guards", "words" or "objects"; empty if only comments and blanks differ."""
    if not (before.ok and after.ok):
        return "words"
    was, now = (objects_of(one.text) for one in (before, after))
    changed = [
        key
        for key in was.keys() | now.keys()
        if key not in was or key not in now or (was[key] is not now[key] and thaw(was[key].body) != thaw(now[key].body))
    ]
    if not changed:
        return ""
    return "guards" if all(key.group == ADMISSION for key in changed) else "objects"
