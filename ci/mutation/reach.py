"""The branches of the templates that each case renders. A case cannot notice a change in another branch."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mutation.coverage import Branch, around, branches, first_reached, marked
from render_worker import WorkerRenderer
from support.cases import Case

Position = tuple[str, int]
THREADS = 4


class Reach:
    """Puts a marker in every branch. Each render names the first marker that it reaches, which is then removed.

    Most cases reach the same branches as similar cases, so the branches of the first similar case are assumed:
    ``may_show`` can return a wrong True, and never a wrong False. ``unreached`` is exact.
    """

    def __init__(self, renderer: WorkerRenderer, cases: Sequence[Case], texts: Mapping[str, str]) -> None:
        self.renderer, self.texts = renderer, texts
        self.branches = {path: list(branches(path, text)) for path, text in texts.items()}
        sorts: dict[tuple[bool, bool], list[Case]] = {}
        for case in cases:
            rich = bool(case.given.sources)
            sorts.setdefault((rich, case.refusal is None), []).append(case)
        self._reached: dict[str, set[Position]] = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for sort in sorts.values():
                granted = self._reaches(sort[0], set())
                for case, places in zip(sort, pool.map(partial(self._reaches, granted=granted), sort), strict=True):
                    self._reached[case.name] = places

    def _reaches(self, case: Case, granted: set[Position]) -> set[Position]:
        places = set(granted)
        while True:
            left = {
                path: marked(text, [one for one in self.branches[path] if (path, one.start) not in places])
                for path, text in self.texts.items()
            }
            files = {path: text for path, text in left.items() if text != self.texts[path]}
            answer = self.renderer.with_chart_files({**files, **case.files}).submit(case.given, case.target).result()
            hit = first_reached(answer.text) if not answer.ok else None
            if hit is None:
                return places
            places.add(hit)

    def may_show(self, case: Case, path: str, start: int, end: int) -> bool:
        """Whether a case can render this part of a template."""
        branch = around(self.branches[path], start, end)
        return branch is None or (path, branch.start) in self._reached[case.name]

    @property
    def total(self) -> int:
        """The number of branches."""
        return sum(len(found) for found in self.branches.values())

    def unreached(self) -> list[Branch]:
        """The branches that no case renders."""
        reached = {place for places in self._reached.values() for place in places}
        return [one for found in self.branches.values() for one in found if (one.path, one.start) not in reached]
