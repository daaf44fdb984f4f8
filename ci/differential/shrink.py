"""Shrinks a difference between the evaluator and an API server to a minimal case, and reads and writes cases."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent_identities.kube.reviews import ReviewStatus
from agent_identities.rbac import Request, User
from differential.compare import Asked

Manifest = Mapping[str, Any]


def shrink(manifests: Sequence[Manifest], differs: Callable[[Sequence[Manifest]], bool]) -> tuple[Manifest, ...]:
    """A minimal part of the manifests for which `differs` is true: fewer objects, rules, subjects and items of rules.

    Greedy: it removes one element at a time until no element can be removed. `differs` should require the same
    `Difference.kind`, so that a difference of decisions does not become a difference of reasons.
    """
    remaining = tuple(manifests)
    while smaller := next((candidate for candidate in _one_less(remaining) if differs(candidate)), None):
        remaining = smaller
    return remaining


def _one_less(manifests: tuple[Manifest, ...]) -> Iterator[tuple[Manifest, ...]]:
    """Candidates: half of the objects, all objects except one, and an object without one of its entries."""
    half = len(manifests) // 2
    if half:
        yield manifests[:half]
        yield manifests[half:]
    for index, manifest in enumerate(manifests):
        before, after = manifests[:index], manifests[index + 1 :]
        yield before + after
        for less in _one_less_in(manifest):
            yield (*before, less, *after)


def _one_less_in(manifest: Manifest) -> Iterator[Manifest]:
    for field in ("rules", "subjects"):
        entries = manifest.get(field) or []
        for index, entry in enumerate(entries):
            yield {**manifest, field: entries[:index] + entries[index + 1 :]}
            for key, items in entry.items():
                if isinstance(items, list) and len(items) > 1:
                    for at in range(len(items)):
                        less = {**entry, key: items[:at] + items[at + 1 :]}
                        yield {**manifest, field: [*entries[:index], less, *entries[index + 1 :]]}


def case_to_json(about: str, server: str, manifests: Sequence[Manifest], asked: Asked, answer: ReviewStatus) -> str:
    """A case of the corpus, as JSON: the manifests, the request, and the answer of a server of that version."""
    user, request = asked
    content = {
        "about": about,
        "server": server,
        "manifests": manifests,
        "request": {"user": asdict(user), **_non_empty(request._asdict())},
        "answer": {"allowed": answer.allowed, **_non_empty(asdict(answer))},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def case_from_json(text: str) -> tuple[list[Manifest], Asked, ReviewStatus]:
    """Read the output of `case_to_json`: the manifests, the user with the request, and the answer."""
    content = json.loads(text)
    fields = content["request"]
    user = fields.pop("user")
    asked = User(user["name"], tuple(user.get("groups", ()))), Request(**fields)
    return content["manifests"], asked, ReviewStatus(**content["answer"])


def _non_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}
