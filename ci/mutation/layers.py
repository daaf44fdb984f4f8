"""The layers of mutation testing: their mutants, and the judge of each layer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from agent_identities.bundled import chart_path
from agent_identities.cluster.provide import provide_cluster
from agent_identities.kube.client import Api
from mutation import Mutant, TemplateMutant, template_mutants
from mutation.guard_trials import MODES, trials
from mutation.judge import Judge, broken_by
from mutation.mutant import Verdict, find
from mutation.objects import ObjectMutant, object_mutants
from mutation.schema import SchemaMutant, schema_mutants
from mutation.schema_judge import SAYS, SchemaJudge
from support.guard_ground import ground
from support.guard_probes import FLEET, PER_AGENT, PER_TIER

if TYPE_CHECKING:
    from support.cases import Case

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
"""The cases whose objects are changed. Together they have every kind of object."""


class Layer(ABC):
    """One layer, as a context manager that holds the resources of its judge."""

    name: str
    threads = 4

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  # most layers have no resources
        """Releases the resources of the layer."""

    @abstractmethod
    def mutants(self) -> Iterator[Mutant]:
        """All mutants of the layer, in a fixed order, each with a unique id."""

    @abstractmethod
    def judge(self, mutant: Mutant) -> Verdict:
        """The invariants that notice a mutant of this layer. Threads can call it concurrently."""

    def must_notice(self, _mutant: Mutant) -> frozenset[str]:
        """The invariants that must notice the mutant; other invariants can notice it."""
        return frozenset()


def templates() -> Iterator[tuple[str, str]]:
    """(path in the chart, text) of every template. NOTES.txt is left out: `helm template` prints no notes.
    The tests that install the chart (tests/cluster) read them."""
    for path in sorted((chart_path() / "templates").rglob("*")):
        if path.suffix in (".yaml", ".tpl"):
            yield str(path.relative_to(chart_path())), path.read_text(encoding="utf-8")


class Templates(Layer):
    """One line or word of a template."""

    name = "template"

    def __init__(self, judge: Judge) -> None:
        self.chart = judge
        self.texts = dict(templates())

    def mutants(self) -> Iterator[TemplateMutant]:
        for path, text in self.texts.items():
            yield from template_mutants(path, text)

    def named(self, id_: str) -> TemplateMutant:
        """The mutant with an id. Raises StaleMutantError."""
        return find(self.mutants(), self.name, id_)

    def judge(self, mutant: Mutant) -> Verdict:
        assert isinstance(mutant, TemplateMutant)
        return self.chart.judge(mutant.path, mutant.text, changed=(mutant.start, mutant.end))


class Schema(Layer):
    """One keyword of values.schema.json."""

    name = "schema"
    threads = 1  # everything runs in Python

    def __init__(self, judge: Judge) -> None:
        self.schema = SchemaJudge(judge.renderer, judge.cases)

    def __enter__(self) -> Self:
        assert not self.schema.baseline(), "the schema as it is refuses valid values"
        return self

    def mutants(self) -> Iterator[SchemaMutant]:
        yield from schema_mutants(self.schema.document)

    def named(self, id_: str) -> SchemaMutant:
        """The mutant with an id. Raises StaleMutantError."""
        return find(self.mutants(), self.name, id_)

    def judge(self, mutant: Mutant) -> Verdict:
        assert isinstance(mutant, SchemaMutant)
        return Verdict({invariant: [SAYS[invariant]] for invariant in sorted(self.schema.judge(mutant))})


class RenderedObjects(Layer):
    """One rendered object."""

    name = "object"
    threads = 1

    def __init__(self, judge: Judge, names: tuple[str, ...] = OBJECTS_OF) -> None:
        self.cases: dict[str, Case] = {case.name: case for case in judge.cases if case.name in names}
        assert len(self.cases) == len(names), f"no such cases: {set(names) - self.cases.keys()}"
        self.renderer = judge.renderer

    def mutants(self) -> Iterator[ObjectMutant]:
        for name, case in self.cases.items():
            objects = self.renderer.render(case.given, case.target).objects
            for one in object_mutants(objects):
                yield ObjectMutant(one.layer, f"{name}: {one.id}", one.change, one.mutator, one.objects)

    def judge(self, mutant: Mutant) -> Verdict:
        assert isinstance(mutant, ObjectMutant)
        case = mutant.id.partition(": ")[0]
        return Verdict(broken_by(self.cases[case], mutant.objects), case)

    def must_notice(self, mutant: Mutant) -> frozenset[str]:
        assert isinstance(mutant, ObjectMutant)
        return EXPECTED[mutant.mutator]


PLACES: Final = {PER_AGENT: 10, PER_TIER: 4, FLEET: 2}
"""Release -> the number of mutants of guards that are judged concurrently."""


class GuardsLive(Layer):
    """One line or word of the templates of guards; the guards are installed on an API server and probed."""

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
        """The mutants that render and change what a guard does. The layer template judges the others."""
        found = [mutant for path, text in templates() if judged_live(path) for mutant in template_mutants(path, text)]
        with ThreadPoolExecutor(self.threads) as pool:
            changes = pool.map(lambda mutant: self.trials.changes({mutant.path: mutant.text}), found)
        yield from (mutant for mutant, does in zip(found, changes, strict=True) if does)

    def judge(self, mutant: Mutant) -> Verdict:
        assert isinstance(mutant, TemplateMutant)
        return Verdict(self.trials.judge({mutant.path: mutant.text}).broken)


def judged_live(path: str) -> bool:
    """Whether the layer guards-live has the mutants of a template."""
    return path.startswith("templates/guards/") or path in (
        "templates/_guards.tpl",
        "templates/_controllers.tpl",
        "templates/_cloud.tpl",
    )


LAYERS: Final[dict[str, Callable[[Judge, str], Layer]]] = {
    RenderedObjects.name: lambda judge, _: RenderedObjects(judge),
    Schema.name: lambda judge, _: Schema(judge),
    Templates.name: lambda judge, _: Templates(judge),
    GuardsLive.name: GuardsLive,
}
"""Name -> makes the layer, for a judge and the minor of the API server; the cheap layers first."""


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
        "kept": "check:removable",
        "token secret listed": "check:token-expiry accounts",
        "renamed": "check:unique-identity accounts",
        "labelled as another": "check:unique-identity accounts",
        "runs as default": "check:default-account check:unique-identity workloads",
        "runs as another": "workloads",
        "pod automounts": "workloads",
        "token for a year": "check:token-expiry workloads",
        "token for long": "check:token-expiry workloads",
        "other audience": "workloads",
        "on the host": "check:pod-security workloads",
        "privileged": "check:pod-security workloads",
        "may escalate": "check:pod-security workloads",
        "capabilities": "check:pod-security workloads",
        "root": "check:pod-security workloads",
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
