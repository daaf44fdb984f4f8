"""Judges a chart, or a mutant of it: which invariants it breaks, over all cases."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agent_identities.errors import AgentIdentitiesError
from agent_identities.objects import Objects, thaw
from agent_identities.render_worker import Answer, RenderWorkerError, WorkerRenderer
from support.invariants import INVARIANTS, Case

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

    Cases that told mutants of a file apart are asked first about the next one.
    """

    def __init__(self, renderer: WorkerRenderer, cases: Sequence[Case]) -> None:
        self.renderer, self.cases = renderer, list(cases)
        self._answers = {case.name: answer for case, answer in self._ask(renderer, self.cases)}
        self._told: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()
        if len(self._answers) != len(self.cases):
            twice = [name for name, number in Counter(case.name for case in self.cases).items() if number > 1]
            raise ValueError(f"cases of the same name: {', '.join(twice)}")

    @staticmethod
    def _ask(renderer: WorkerRenderer, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
        asked = [(case, renderer.submit(case.given, case.target)) for case in cases]
        for case, future in asked:
            yield case, future.result()

    def baseline(self) -> Verdict:
        """The chart as it is: nothing may be broken."""
        verdict = Verdict()
        for case in self.cases:
            for invariant in self._broken(case, self._answers[case.name]):
                verdict.add(invariant, case)
        return verdict

    def judge(self, path: str, text: str | None, *, thorough: bool = False) -> Verdict:
        """A chart with this in place of one file; up to the first case that shows it, or ``thorough``: all of them."""
        mutant = self.renderer.with_chart_files({path: text})
        verdict = Verdict()
        for case in self._in_order(path):
            try:
                answer = mutant.submit(case.given, case.target).result()
            except RenderWorkerError:
                answer = Answer(ok=False, text="the engine itself gave up")
            for invariant in self._differences(case, answer):
                verdict.add(invariant, case)
            if verdict.broken.keys() - {REVIEWED} and not thorough:
                with self._lock:
                    self._told.setdefault(path, Counter())[case.name] += 1
                break
        return verdict

    def answers(self, path: str, text: str) -> Iterator[Answer]:
        """What such a mutant answers to each case, those first that told others of the file apart."""
        mutant = self.renderer.with_chart_files({path: text})
        for case in self._in_order(path):
            yield mutant.submit(case.given, case.target).result()

    def _in_order(self, path: str) -> list[Case]:
        with self._lock:
            told = Counter(self._told.get(path, {}))
        return sorted(self.cases, key=lambda case: -told[case.name])

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
            objects = Objects.from_yaml(answer.stdout())
        except AgentIdentitiesError:
            yield RENDERS
            return
        yield from broken_by(case, objects)


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
    was, now = (Objects.from_yaml(one.text) for one in (before, after))
    return was.keys() == now.keys() and all(thaw(was[key].body) == thaw(now[key].body) for key in was)
