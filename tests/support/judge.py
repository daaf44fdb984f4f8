"""Judges a chart, or a mutant of it: which invariants it breaks, over all cases."""

import functools
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent_identities.chart.objects import KubeObject, Objects, thaw
from agent_identities.errors import AgentIdentitiesError
from render_worker import Answer, RenderWorkerError, WorkerRenderer
from support.invariants import INVARIANTS, Case
from support.reach import Reach

RENDERS = "renders"
"""The invariant that what is right is taken, and gives objects."""

REFUSES = "refuses"
"""The invariant that a mistake is refused, with its place and its cure."""

REVIEWED = "as-reviewed"
"""The invariant that words and expressions are those that somebody read (tests/corpus/reviewed)."""


@dataclass(slots=True)
class Verdict:
    """``broken``: the invariants, and by which cases. Nothing: no case shows a difference."""

    broken: dict[str, list[str]] = field(default_factory=dict)

    def add(self, invariant: str, case: Case) -> None:
        self.broken.setdefault(invariant, []).append(case.name)


class Judge:
    """Judges by what the chart as it is answers: where a mutant's answer is the same, there is nothing to judge.

    The first case, which should be one that has everything, and those that told other mutants of a file apart are asked
    first; then the others, the cheap ones first.
    """

    def __init__(self, renderer: WorkerRenderer, cases: Sequence[Case]) -> None:
        self.renderer, self.cases = renderer, list(cases)
        self._answers = {case.name: answer for case, answer in self._ask(renderer, self.cases)}
        self._size = {name: len(answer.text) for name, answer in self._answers.items()}
        self._told: dict[str, Counter[str]] = {}
        self.reach: Reach | None = None
        self._lock = threading.Lock()
        if len(self._answers) != len(self.cases):
            twice = [name for name, number in Counter(case.name for case in self.cases).items() if number > 1]
            raise ValueError(f"cases of the same name: {', '.join(twice)}")

    @staticmethod
    def _ask(renderer: WorkerRenderer, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
        asked = [(case, _with(renderer, case).submit(case.given, case.target)) for case in cases]
        for case, future in asked:
            yield case, future.result()

    def baseline(self) -> Verdict:
        """The chart as it is: nothing may be broken."""
        verdict = Verdict()
        for case in self.cases:
            for invariant in self._broken(case, self._answers[case.name]):
                verdict.add(invariant, case)
        return verdict

    def broken(self, name: str) -> list[str]:
        """The invariants that the chart as it is breaks in one case."""
        case = next(case for case in self.cases if case.name == name)
        return sorted(self._broken(case, self._answers[name]))

    def judge(self, path: str, text: str | None, *, changed: tuple[int, int] | None = None) -> Verdict:
        """A chart with this in place of one file; up to the first case that shows it.

        ``changed``: from where to where the file as it is differs. Where it is known which cases render that, no others
        are asked.
        """
        mutant = self.renderer.with_chart_files({path: text})
        verdict = Verdict()
        for case in self._worth_asking(path, changed):
            try:
                answer = _with(mutant, case).submit(case.given, case.target).result()
            except RenderWorkerError:
                answer = Answer(ok=False, text="the engine itself gave up")
            for invariant in self._differences(case, answer):
                verdict.add(invariant, case)
            if verdict.broken.keys() - {REVIEWED}:
                with self._lock:
                    self._told.setdefault(path, Counter())[case.name] += 1
                break
        return verdict

    def judge_case(self, name: str, path: str, text: str | None) -> set[str]:
        """The invariants that a chart with this in place of one file breaks in one case."""
        case = next(case for case in self.cases if case.name == name)
        mutant = _with(self.renderer.with_chart_files({path: text}), case)
        return set(self._differences(case, mutant.submit(case.given, case.target).result()))

    def find_reach(self, texts: Mapping[str, str]) -> Reach:
        """Finds out which cases render which parts of these templates; takes a minute, and saves many."""
        self.reach = Reach(self.renderer, self.cases, texts)
        return self.reach

    def _worth_asking(self, path: str, changed: tuple[int, int] | None) -> Iterator[Case]:
        """The cases that may tell, the likely and the cheap ones first; one at least, as it may be no template now."""
        order = self._in_order(path)
        if self.reach is not None and changed is not None:
            there = [case for case in order if self.reach.may_show(case, path, *changed)]
            order = there or order[:1]
        yield from order

    def _in_order(self, path: str) -> list[Case]:
        with self._lock:
            told = Counter(self._told.get(path, {}))
        asked = [case for case in self.cases if case.about in ("", path)]
        return sorted(asked, key=lambda case: (-told[case.name], case is not self.cases[0], self._size[case.name]))

    def _differences(self, case: Case, answer: Answer) -> Iterator[str]:
        before = self._answers[case.name]
        if (answer.ok, answer.text) == (before.ok, before.text):
            return
        broken = list(self._broken(case, answer))
        yield from broken
        if not broken and not _same(before, answer):
            yield REVIEWED

    def _broken(self, case: Case, answer: Answer) -> Iterator[str]:
        if case.message is not None:
            if answer.ok or any(part not in answer.text for part in case.message):
                yield REFUSES
            return
        try:
            objects = objects_of(answer.stdout())
        except AgentIdentitiesError:
            yield RENDERS
            return
        yield from broken_by(case, objects)


def _with(renderer: WorkerRenderer, case: Case) -> WorkerRenderer:
    """The renderer, with the files that the case brings."""
    return renderer.with_chart_files(case.files) if case.files else renderer


def objects_of(text: str) -> Objects:
    """The objects of what `helm template` prints. Mutants differ in a document or two: the others are read once."""
    return Objects(obj for document in re.split(r"^---$", text, flags=re.MULTILINE) for obj in _document(document))


@functools.lru_cache(maxsize=20_000)
def _document(text: str) -> tuple[KubeObject, ...]:
    return tuple(Objects.from_yaml(text).values())


def broken_by(case: Case, objects: Objects) -> set[str]:
    """The invariants that the objects of a case break."""
    return {one.id for one in INVARIANTS if any(True for _ in _told(one.broken(case, objects)))}


def _told(sentences: Iterable[str]) -> Iterator[str]:
    """What an invariant says; objects that it cannot even read break it."""
    try:
        yield from sentences
    except (AgentIdentitiesError, KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        yield f"cannot be read: {error!r}"


def _same(before: Answer, after: Answer) -> bool:
    """Whether two answers differ in comments and blanks at most."""
    if not (before.ok and after.ok):
        return False
    was, now = (objects_of(one.text) for one in (before, after))
    return was.keys() == now.keys() and all(
        was[key] is now[key] or thaw(was[key].body) == thaw(now[key].body) for key in was
    )
