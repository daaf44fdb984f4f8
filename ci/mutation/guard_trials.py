"""Judges mutants of guards: installs the guards of a mutant on an API server and sends the probes."""

import queue
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from agent_identities.chart.objects import Key, Objects, thaw
from agent_identities.errors import AgentIdentitiesError
from render_worker import WorkerRenderer
from support.guard_ground import ADMISSION_GROUP, Ground, Place, RefusedObjectError
from support.guard_probes import FLEET, PER_AGENT, PER_TIER, PROBES, Probe
from support.guard_probes.release import RELEASE, target, values

MODES: Final = (PER_AGENT, PER_TIER, FLEET)
GUARD_OF: Final = {
    "default-account": "defaultAccount",
    "run-as": "runAs",
    "run-as-revisions": "runAs",
    "run-as-controllers": "runAs",
    "tokens": "tokens",
    "tokens-certificates": "tokens",
    "token-secrets": "tokenSecrets",
    "bindings": "bindings",
    "bindings-finalizers": "bindings",
    "roles": "roles",
    "accounts": "accounts",
    "labels": "labels",
    "network-policies": "networkPolicies",
    "trust-anchor": "trustAnchor",
    "records": "records",
    "impersonation": "impersonation",
    "ephemeral-containers": "ephemeralContainers",
    "exec": "exec",
    "quarantine": "quarantine",
    "quarantine-pods": "quarantine",
    "quarantine-bindings": "quarantine",
    "short-tokens": "shortTokens",
}
"""End of the name of a policy -> key of the guard in the values."""

DEPLOYERS: Final = "deployers"
SEEN_BY: Final = ("runAs", "exec", "bindings")
"""The guards that the probes of deployers need."""

_ENOUGH: Final = 3
"""The number of failed probes after which a mutant is judged."""

ACCEPTS, NAMED, KEEPS_OUT = "server-accepts", "guard-named", "guard-in-its-place"

Guards = Mapping[str, Mapping[Key, Mapping[str, Any]]]
"""Guard -> its objects, and DEPLOYERS -> the objects of deployers."""


def guards(objects: Objects, namespace: str) -> dict[str, dict[Key, Mapping[str, Any]]]:
    """Guard -> its objects; "" has the objects with an unexpected name."""
    found: dict[str, dict[Key, Mapping[str, Any]]] = {}
    for key, obj in objects.items():
        if obj.source.endswith("guards/deployers.yaml"):
            guard = DEPLOYERS
        elif key.group == ADMISSION_GROUP or "/guards/" in obj.source:
            start = f"{RELEASE}.{namespace}."
            guard = GUARD_OF.get(key.name.removeprefix(start), "") if key.name.startswith(start) else ""
        else:
            continue
        found.setdefault(guard, {})[key] = obj.body
    return found


def _behaviour(objects: Mapping[Key, Mapping[str, Any]]) -> dict[Key, Any]:
    """All but labels and annotations."""
    return {
        key: {name: thaw(value) for name, value in body.items() if name not in ("metadata", "apiVersion")}
        | {"apiVersion": body.get("apiVersion")}
        for key, body in objects.items()
    }


def changed(before: Guards, after: Guards) -> list[str]:
    """The guards whose objects differ; "" if a guard lost its name."""
    return sorted(
        guard
        for guard in before.keys() | after.keys()
        if _behaviour(before.get(guard, {})) != _behaviour(after.get(guard, {}))
    )


@dataclass(slots=True)
class Trial:
    """The invariants that a mutant breaks, with the failed probes; empty if no probe noticed it."""

    broken: dict[str, list[str]] = field(default_factory=dict)

    def add(self, invariant: str, how: str) -> None:
        self.broken.setdefault(invariant, []).append(how)


class Trials:
    """The namespaces for each release. Each thread uses one namespace at a time."""

    def __init__(self, renderer: WorkerRenderer, places: Mapping[str, list[Place]]) -> None:
        self.renderer = renderer
        self._free: dict[str, queue.Queue[Place]] = {}
        self._before: dict[str, Guards] = {}
        self._company = _Company()
        self._told: Counter[str] = Counter()
        for mode, made in places.items():
            self._free[mode] = queue.Queue()
            for place in made:
                self._before[place.namespace] = self._rendered(place, {})
                self._free[mode].put(place)

    def _rendered(self, place: Place, files: Mapping[str, str]) -> Guards:
        """The guards of the chart in a namespace. Raises AgentIdentitiesError if the chart does not render."""
        ground = place.ground
        given = values(place.mode, place.namespace, ground.elsewhere)
        asked = target(place.mode, place.namespace, ground.kubernetes)
        objects = self.renderer.with_chart_files(files).render(given, asked).objects
        return guards(objects, place.namespace)

    @contextmanager
    def _place(self, mode: str) -> Iterator[Place]:
        place = self._free[mode].get()
        try:
            yield place
        finally:
            self._free[mode].put(place)

    def changes(self, files: Mapping[str, str]) -> bool:
        """Whether the chart renders and a guard differs."""
        for mode in self._free:
            with self._place(mode) as place:
                try:
                    if changed(self._before[place.namespace], self._rendered(place, files)):
                        return True
                except AgentIdentitiesError:
                    return False
        return False

    def all_at_once(self, mode: str) -> Trial:
        """Sends every probe with the unchanged chart and all of its guards."""
        with self._place(mode) as place:
            before = self._before[place.namespace]
            trial = Trial()
            place.enforce(item for guard in before.values() for item in guard.items())
            self._probe(place, _probes(place), trial, enough=len(PROBES))
            return trial

    def judge(self, files: Mapping[str, str]) -> Trial:
        """Judges the chart with these files replaced, one release after another until a probe fails."""
        trial = Trial()
        for mode in self._free:
            with self._place(mode) as place:
                try:
                    after = self._rendered(place, files)
                except AgentIdentitiesError:
                    continue
                self._judge(place, after, trial)
            if trial.broken:
                break
        return trial

    def _judge(self, place: Place, after: Guards, trial: Trial) -> None:
        before = self._before[place.namespace]
        touched = changed(before, after)
        if "" in touched:
            trial.add(NAMED, ", ".join(str(key) for key in after.get("", ())))
            return
        if not touched:
            return
        deployers = DEPLOYERS in touched
        wanted = {guard: after.get(guard, {}) for guard in touched if guard != DEPLOYERS}
        if deployers or not wanted:
            wanted = {guard: before.get(guard, {}) for guard in SEEN_BY} | wanted
        given = after if deployers else before
        wanted[DEPLOYERS] = given.get(DEPLOYERS, {}) if deployers else {}
        with self._company.alone() if _everywhere(before, after) else self._company.together():
            try:
                place.enforce(item for guard in wanted.values() for item in guard.items())
            except RefusedObjectError as refused:
                trial.add(ACCEPTS, str(refused))
                return
            probes = [probe for probe in _probes(place) if probe.guard in touched]
            self._probe(place, probes, trial, enough=_ENOUGH)
            for policy in place.trespassing:
                trial.add(KEEPS_OUT, f"{policy} refuses what is in another namespace")
            if _everywhere(before, after):
                place.enforce(())

    def _probe(self, place: Place, probes: list[Probe], trial: Trial, *, enough: int) -> None:
        """Sends the probes, the ones that failed most often first."""
        for probe in sorted(probes, key=lambda probe: -self._told[str(probe)]):
            # a probe failed, so the changed guard is in force: no need to wait for it
            if how := place.fails(probe, patient=not trial.broken):
                trial.add(probe.invariant, f"{probe}: {how}")
                self._told[str(probe)] += 1
                enough -= 1
            if not enough:
                return


def _probes(place: Place) -> list[Probe]:
    """The probes for a namespace. Kubernetes below 1.36 has no shortTokens."""
    there = [probe for probe in PROBES if place.mode in probe.modes]
    return [probe for probe in there if place.ground.mutating or probe.guard != "shortTokens"]


def _everywhere(before: Guards, after: Guards) -> bool:
    """Whether the mutating guard can change pods of other namespaces. If so, it is judged alone."""

    def where(found: Guards) -> list[Any]:
        return [
            thaw(((body.get("spec") or {}).get("matchConstraints") or {}).get("namespaceSelector"))
            for body in found.get("shortTokens", {}).values()
        ]

    return bool(after.get("shortTokens")) and where(before) != where(after)


class _Company:
    """A lock with many shared holders, or one exclusive holder."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together = 0
        self._alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._together)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


@contextmanager
def trials(ground: Ground, renderer: WorkerRenderer, numbers: Mapping[str, int]) -> Iterator[Trials]:
    """Trials with a number of namespaces for each release."""
    with ground.places(numbers) as places:
        yield Trials(renderer, places)
