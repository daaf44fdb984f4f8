"""The layers of mutation testing: which mutants there are, and who is asked whether one is noticed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from agent_identities.bundled import chart_path
from agent_identities.chart import yaml
from agent_identities.cluster.provide import provide_cluster
from agent_identities.kube.client import Api
from mutation import Mutant, TemplateMutant, template_mutants
from mutation.objects import ObjectMutant, object_mutants
from mutation.schema import SchemaMutant, schema_mutants
from support.guard_ground import ground
from support.guard_probes import FLEET, PER_AGENT, PER_TIER
from support.guard_trials import MODES, trials
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

    def must_notice(self, mutant: Mutant) -> frozenset[str]:
        """The invariants that are made for such a mutant; others may notice it, too."""
        return frozenset()


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
        self.texts = dict(templates())

    def mutants(self) -> Iterator[TemplateMutant]:
        for path, text in self.texts.items():
            yield from template_mutants(path, text)

    def named(self, id_: str) -> TemplateMutant:
        """The mutant of this id. Raises StopIteration: a line of a template has changed, and with it the id."""
        return next(mutant for mutant in template_mutants(*self._file(id_)) if mutant.id == id_)

    def _file(self, id_: str) -> tuple[str, str]:
        path = id_.partition(": ")[0]
        return path, self.texts[path]

    def kill(self, mutant: Mutant) -> set[str]:
        assert isinstance(mutant, TemplateMutant)
        changed = (mutant.start, mutant.end)
        return set(self.judge.judge(mutant.path, mutant.text, changed=changed).broken)


class Schema(Layer):
    """One keyword of values.schema.json."""

    name = "schema"
    threads = 1  # all of it is Python

    def __init__(self, judge: Judge) -> None:
        self.judge = SchemaJudge(judge.renderer, judge.cases)

    def __enter__(self) -> Self:
        assert not self.judge.baseline(), "the schema as it is refuses what is right"
        return self

    def mutants(self) -> Iterator[SchemaMutant]:
        yield from schema_mutants(self.judge.document)

    def named(self, id_: str) -> SchemaMutant:
        """The mutant of this id. Raises StopIteration: the schema has changed, and with it the id."""
        return next(mutant for mutant in self.mutants() if mutant.id == id_)

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

    def must_notice(self, mutant: Mutant) -> frozenset[str]:
        assert isinstance(mutant, ObjectMutant)
        return EXPECTED[mutant.mutator]


PLACES: Final = {PER_AGENT: 10, PER_TIER: 4, FLEET: 2}
"""How many mutants of guards are on trial at once, by release."""


class GuardsLive(Layer):
    """One line or word of what guards are made of, put into force on an API server of its own, and probed."""

    name = "guards-live"
    threads = sum(PLACES.values())

    def __init__(self, judge: Judge, kubernetes: str) -> None:
        self.renderer, self.kubernetes = judge.renderer, kubernetes
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            cluster = stack.enter_context(provide_cluster(kubernetes=self.kubernetes))
            api = stack.enter_context(Api(cluster.access, concurrency=self.threads))
            there = stack.enter_context(ground(api, "mutants", cluster.version))
            self.trials = stack.enter_context(trials(there, self.renderer, PLACES))
            for mode in MODES:
                broken = self.trials.all_at_once(mode).broken
                assert not broken, f"the chart as it is, {mode}: {broken}"
            self._stack = stack.pop_all()
        return self

    def close(self) -> None:
        self._stack.close()

    def mutants(self) -> Iterator[TemplateMutant]:
        """Those that render, and make a guard do something else: of the rest, the other layers are told."""
        found = [
            mutant
            for path, text in templates()
            if path.startswith("templates/guards/") or path == "templates/_guards.tpl"
            for mutant in template_mutants(path, text)
        ]
        with ThreadPoolExecutor(self.threads) as pool:
            changes = pool.map(lambda mutant: self.trials.changes({mutant.path: mutant.text}), found)
        yield from (mutant for mutant, does in zip(found, changes, strict=True) if does)

    def kill(self, mutant: Mutant) -> set[str]:
        assert isinstance(mutant, TemplateMutant)
        return set(self.trials.judge({mutant.path: mutant.text}).broken)


def layers(judge: Judge, kubernetes: str) -> list[Layer]:
    """All layers, the cheap ones first; ``kubernetes`` is the minor of the server that guards are installed on."""
    return [RenderedObjects(judge), Schema(judge), Templates(judge), GuardsLive(judge, kubernetes)]


# ---- who notices what

CORPUS: Final = Path(__file__).parents[1] / "corpus" / "mutants"


def survivors() -> dict[str, dict[str, str]]:
    """Layer -> id of a mutant that nobody notices -> the reason why it changes nothing."""
    groups = _listed("survivors.yaml")
    return {layer: {mutant: group["why"] for group in groups[layer] for mutant in group["mutants"]} for layer in groups}


@dataclass(frozen=True, slots=True)
class Noticed:
    """A mutant, and the invariants that notice it, and no others: in one case, where its layer has cases."""

    layer: str
    mutant: str
    by: frozenset[str]
    case: str = ""

    def __str__(self) -> str:
        return self.mutant


def noticed(layer: str) -> list[Noticed]:
    """The fixed set of a layer: for each invariant a mutant, if possible one that no other notices."""
    found = _listed("noticed.yaml")[layer]
    return [Noticed(layer, one["mutant"], frozenset(one["by"]), one.get("case", "")) for one in found]


def _listed(name: str) -> Any:
    return yaml.load((CORPUS / name).read_text(encoding="utf-8"), name=name)


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
