"""The layers of mutation testing: which mutants there are, and who is asked whether one is noticed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from agent_identities.data import chart_path
from agent_identities.mutants import Mutant, TemplateMutant, template_mutants
from agent_identities.mutants.objects import ObjectMutant, object_mutants
from agent_identities.mutants.schema import SchemaMutant, schema_mutants
from support.invariants import Case  # noqa: TC001  # as everywhere else
from support.judge import Judge, broken_by
from support.schema_judge import SchemaJudge

OBJECTS_OF: Final = (
    "everything",
    "quickstart",
    "proxied",
    "quarantine",
    "hardened",
    "multi-namespace",
    "per-tier",
    "seed",
)
"""The cases whose objects are changed; the others hold no kind of object that is not in one of these."""


class Layer(ABC):
    """One layer. It may need something while it is asked: it is a context manager."""

    name: str
    threads = 4

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  # most layers need nothing
        """Lets go of what the layer needed."""

    @abstractmethod
    def mutants(self) -> Iterator[Mutant]:
        """All of its mutants, in a fixed order, each with an id of its own."""

    @abstractmethod
    def kill(self, mutant: Mutant) -> set[str]:
        """The invariants that notice a mutant of this layer; threads may ask at once."""


def templates() -> Iterator[tuple[str, str]]:
    """(path in the chart, text) of every template. NOTES.txt is not among them: `helm template` prints no notes, so
    its lines are held by tests that install (tests/cluster)."""
    for path in sorted((chart_path() / "templates").rglob("*")):
        if path.suffix in (".yaml", ".tpl"):
            yield str(path.relative_to(chart_path())), path.read_text(encoding="utf-8")


class Templates(Layer):
    """One line or word of a template."""

    name = "template"

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def mutants(self) -> Iterator[TemplateMutant]:
        for path, text in templates():
            yield from template_mutants(path, text)

    def kill(self, mutant: Mutant) -> set[str]:
        assert isinstance(mutant, TemplateMutant)
        return set(self.judge.judge(mutant.path, mutant.text).broken)


class Schema(Layer):
    """One keyword of values.schema.json."""

    name = "schema"
    threads = 1  # all of it is Python

    def __init__(self, judge: Judge) -> None:
        self.judge = SchemaJudge(judge.renderer, judge.cases)
        assert not self.judge.baseline(), "the schema as it is refuses what is right"

    def mutants(self) -> Iterator[SchemaMutant]:
        yield from schema_mutants(self.judge.schema.document)

    def kill(self, mutant: Mutant) -> set[str]:
        assert isinstance(mutant, SchemaMutant)
        return self.judge.judge(mutant)


class RenderedObjects(Layer):
    """One rendered object."""

    name = "object"
    threads = 1

    def __init__(self, judge: Judge, names: tuple[str, ...] = OBJECTS_OF) -> None:
        self.cases: dict[str, Case] = {case.name: case for case in judge.cases if case.name in names}
        assert len(self.cases) == len(names), f"no such cases: {set(names) - self.cases.keys()}"
        self.judge = judge

    def mutants(self) -> Iterator[ObjectMutant]:
        for name, case in self.cases.items():
            objects = self.judge.renderer.render(case.given, case.target).objects
            for one in object_mutants(objects):
                yield ObjectMutant(one.layer, f"{name}: {one.id}", one.change, one.mutator, one.objects)

    def kill(self, mutant: Mutant) -> set[str]:
        assert isinstance(mutant, ObjectMutant)
        return broken_by(self.cases[mutant.id.partition(": ")[0]], mutant.objects)


def layers(judge: Judge, kubernetes: str) -> list[Layer]:
    """All layers, the cheap ones first; ``kubernetes`` is the minor of the server that guards are installed on."""
    return [RenderedObjects(judge), Schema(judge), Templates(judge)]


# ---- who notices what

EXPECTED: Final[dict[str, frozenset[str]]] = {
    mutator: frozenset(invariants.split())
    for mutator, invariants in {
        "verb wildcard": "check:wildcard rights",
        "resource wildcard": "check:wildcard rights",
        "group wildcard": "check:wildcard rights",
        "names dropped": "rights",
        "name added": "rights",
        "verb added": "rights",
        "verb dropped": "check:within-tiers rights",
        "rule dropped": "rights",
        "dangerous rule": "rights",
        "role everywhere": "check:binding-resolves rights",
        "default bound": "check:binding-resolves check:default-account rights",
        "stranger bound": "check:binding-resolves rights",
        "sibling bound": "rights",
        "group bound": "check:default-account rights",
        "subject dropped": "rights",
        "other role": "check:binding-resolves rights",
        "cluster-admin": "check:binding-resolves rights",
        "binding everywhere": "rights",
        "automount": "accounts",
        "token secret listed": "check:token-expiry accounts",
        "renamed": "check:unique-identity accounts",
        "labelled as another": "check:unique-identity accounts",
        "runs as default": "check:default-account check:unique-identity workloads",
        "runs as another": "workloads",
        "pod automounts": "workloads",
        "token for a year": "check:token-expiry workloads",
        "token for long": "check:token-expiry workloads",
        "other audience": "workloads",
        "on the host": "workloads",
        "privileged": "workloads",
        "may escalate": "workloads",
        "capabilities": "workloads",
        "root": "workloads",
        "reaches all": "surroundings",
        "reached by all": "surroundings",
        "half a policy": "surroundings",
        "guard fails open": "guards",
        "guard without names": "guards",
        "guard warns": "guards",
        "guard not bound": "guards",
        "share of all": "surroundings",
        "share for all": "surroundings",
        "token that never ends": "check:token-expiry kinds",
        "two pods, one identity": "check:unique-identity workloads",
        "admin by hand": "check:binding-resolves rights",
        "undeclared account": "check:unique-identity accounts",
        "moved": "",
        "removed": "",
    }.items()
}
"""Mutator of objects -> the invariants that must notice each of its mutants; others may, too."""
