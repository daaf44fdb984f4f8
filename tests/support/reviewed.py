"""The words and expressions of the chart that somebody has read: messages, and the expressions of guards.

All other objects are held against what the values promise. These texts have no second source; a change of one shows up
as a difference to a file, to be read and kept: `python tests/support/reviewed.py`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))

from agent_identities.chart.objects import Objects, thaw  # run as a script, support is found by the line above
from render_worker import WorkerRenderer
from support.invariants import Case, cases

FOLDER: Final = Path(__file__).parents[1] / "corpus" / "reviewed"
MESSAGES: Final = FOLDER / "messages.json"
GUARDS: Final = FOLDER / "guards.json"
GUARDED: Final = ("everything", "hardened", "hardened, before 1.36")


def messages(renderer: WorkerRenderer, asked: list[Case]) -> Iterator[tuple[str, list[str]]]:
    """Case -> the lines that the chart refuses it with."""
    for case in asked:
        if case.message is not None:
            answer = renderer.with_chart_files(case.files).submit(case.given, case.target).result()
            lines = [line.rstrip() for line in answer.text.splitlines()]
            yield case.name, [line for line in lines[1:] if line and not line.startswith("Use --debug")]


def guards(renderer: WorkerRenderer, asked: list[Case]) -> Iterator[tuple[str, Any]]:
    """Case and policy -> what its spec says."""
    for case in asked:
        if case.name in GUARDED:
            objects: Objects = renderer.render(case.given, case.target).objects
            for policy in objects.of_kind("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"):
                yield f"{case.name}: {policy.name}", thaw(policy.body["spec"])


def as_text(found: Iterator[tuple[str, Any]]) -> str:
    """As it stands in a file."""
    return json.dumps(dict(found), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Writes both files as the chart is now."""
    from agent_identities.bundled import chart_path
    from agent_identities.toolchain import provide
    from render_worker import RenderWorker

    FOLDER.mkdir(parents=True, exist_ok=True)
    with RenderWorker(provide(["render-worker"])["render-worker"].path) as worker:
        renderer, asked = WorkerRenderer(worker, chart_path()), cases()
        MESSAGES.write_text(as_text(messages(renderer, asked)), encoding="utf-8")
        GUARDS.write_text(as_text(guards(renderer, asked)), encoding="utf-8")


if __name__ == "__main__":
    main()
