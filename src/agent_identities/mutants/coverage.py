"""Which branches of a chart's templates some values reach: a probe in each, that fails where it is rendered."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent_identities.mutants.blocks import blocks

_PROBE = "probe-of-a-branch"


@dataclass(frozen=True, slots=True)
class Branch:
    """A body of a block, at a line of a template; ``text`` is the template with the probe in it."""

    path: str
    line: int
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {{{{ {self.code} }}}}"

    def reached(self, message: str) -> bool:
        """Whether Helm's message is that of the probe."""
        return _PROBE in message


def branches(path: str, text: str) -> Iterator[Branch]:
    """Each if, else, with, range and define of a template, with a probe at the start of its body."""
    for block in blocks(text):
        for head, start, _ in block.branches():
            probed = f'{text[:start]}{{{{ fail "{_PROBE}" }}}}{text[start:]}'
            line = text.count("\n", 0, head.start) + 1
            yield Branch(path, line, " ".join(head.code.split())[:100], probed)
