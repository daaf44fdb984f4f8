"""Kubernetes objects, read strictly and kept read-only, found by (group, kind, namespace, name)."""

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agent_identities.chart.manifest import documents, freeze
from agent_identities.errors import AgentIdentitiesError


class ObjectsError(AgentIdentitiesError):
    """Documents that are no Kubernetes objects, or the same object twice."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What names an object on a cluster; ``namespace`` is "" where it has none, ``group`` "" for the core group."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class KubeObject:
    """One object: ``body`` is its whole manifest, deeply read-only; ``source`` the template that printed it, or ""."""

    key: Key
    body: Mapping[str, Any] = field(repr=False)
    source: str = ""

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.key.name

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels, empty if there are none."""
        return cast("Mapping[str, str]", self.body["metadata"].get("labels") or {})

    @property
    def annotations(self) -> Mapping[str, str]:
        """metadata.annotations, empty if there are none."""
        return cast("Mapping[str, str]", self.body["metadata"].get("annotations") or {})


class Objects(Mapping[Key, KubeObject]):
    """A set of objects, in the order in which they were given.

    Raises ObjectsError where two have the same key: Helm would install one over the other without a word.
    """

    def __init__(self, objects: Iterable[KubeObject] = ()) -> None:
        self._objects: dict[Key, KubeObject] = {}
        for obj in objects:
            other = self._objects.get(obj.key)
            if other is not None:
                places = " and ".join(sorted({other.source or "?", obj.source or "?"}))
                raise ObjectsError(f"{obj.key} is defined twice ({places}): one object would overwrite the other.")
            self._objects[obj.key] = obj

    @classmethod
    def from_manifests(cls, manifests: Iterable[Mapping[str, Any]], *, source: str = "") -> "Objects":
        """Objects from parsed manifests; a ``List`` gives its items."""
        return cls(KubeObject(_key(body, source), freeze(body), source) for body in _flatten(manifests))

    @classmethod
    def from_yaml(cls, text: str, *, name: str = "manifest") -> "Objects":
        """Objects from YAML documents; ``# Source:`` lines, as Helm prints them, become each object's source."""
        lines, sources = _sources(text)
        objects: list[KubeObject] = []
        for line, document in documents(text, name=name):
            source = sources[bisect(lines, line) - 1]
            for body in _flatten([document]):
                if not isinstance(body, Mapping):
                    raise ObjectsError(f"{source or name}: a document that is not a mapping: {str(thaw(body))[:60]!r}")
                objects.append(KubeObject(_key(body, source or name), body, source))
        return cls(objects)

    def __getitem__(self, key: Key) -> KubeObject:
        return self._objects[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"Objects({', '.join(map(str, self))})"

    def of_kind(self, *kinds: str) -> tuple[KubeObject, ...]:
        """The objects of these kinds, in order."""
        return tuple(obj for obj in self._objects.values() if obj.key.kind in kinds)

    def find(self, kind: str, name: str, namespace: str | None = None) -> KubeObject | None:
        """The first object of this kind and name, in this namespace unless None."""
        return next(
            (
                obj
                for key, obj in self._objects.items()
                if key.kind == kind and key.name == name and namespace in (None, key.namespace)
            ),
            None,
        )

    def manifests(self) -> Iterator[Mapping[str, Any]]:
        """The bodies, in order."""
        return (obj.body for obj in self._objects.values())


_SOURCE = re.compile(r"# Source: [^/\n]+/(\S+)")


def _sources(text: str) -> tuple[list[int], list[str]]:
    """From which line on (counted from 1) which template printed what ``helm template`` shows."""
    lines, sources = [0], [""]
    line, at = 1, 0
    for found in _SOURCE.finditer(text):
        if found.start() and text[found.start() - 1] != "\n":
            continue
        line += len(text[at : found.start()].splitlines())
        at = found.start()
        lines.append(line)
        sources.append(found[1])
    return lines, sources


def _flatten(manifests: Iterable[Any]) -> Iterator[Any]:
    for body in manifests:
        items = body.get("items") if isinstance(body, Mapping) and str(body.get("kind")).endswith("List") else None
        if isinstance(items, (list, tuple)):
            yield from _flatten(items)
        else:
            yield body


def _key(body: Mapping[str, Any], place: str) -> Key:
    """The key of a manifest; all that names an object must be text, as the API server demands."""
    metadata = body.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    parts = {
        "apiVersion": body.get("apiVersion"),
        "kind": body.get("kind"),
        "metadata.name": metadata.get("name"),
        "metadata.namespace": metadata.get("namespace") or "",
    }
    for field_name, value in parts.items():
        if not isinstance(value, str) or (not value and field_name != "metadata.namespace"):
            raise ObjectsError(f"{place or 'manifest'}: {field_name} must be text; got {value!r}.")
    api_version, kind, name, namespace = cast("tuple[str, str, str, str]", tuple(parts.values()))
    return Key(api_version.rpartition("/")[0], kind, namespace, name)


def thaw(value: Any) -> Any:
    """A deep copy in plain dicts and lists, to change or to print as JSON."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(item) for item in value]
    return value
