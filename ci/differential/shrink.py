"""A difference between the evaluator and an API server, made as small as it gets, and kept."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent_identities.kube.reviews import ReviewStatus
from agent_identities.rbac import Request, User
from differential.compare import Asked

Manifest = Mapping[str, Any]


def minimise(manifests: Sequence[Manifest], differs: Callable[[Sequence[Manifest]], bool]) -> tuple[Manifest, ...]:
    """The least of the manifests for which `differs` is still true: fewer objects, rules, subjects, items of rules.

    Greedy: one thing less at a time, as long as anything can go. `differs` should insist on the same `Difference.kind`,
    lest a difference of decisions shrink into one of reasons.
    """
    kept = tuple(manifests)
    while smaller := next((candidate for candidate in _one_less(kept) if differs(candidate)), None):
        kept = smaller
    return kept


def _one_less(manifests: tuple[Manifest, ...]) -> Iterator[tuple[Manifest, ...]]:
    """Half of the objects; then all but one object; then one with an entry less."""
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
    """A case of the frozen corpus: what was loaded, what was asked, what a server of that version answered."""
    user, request = asked
    content = {
        "about": about,
        "server": server,
        "manifests": manifests,
        "request": {"user": asdict(user), **_filled(request._asdict())},
        "answer": {"allowed": answer.allowed, **_filled(asdict(answer))},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def case_from_json(text: str) -> tuple[list[Manifest], Asked, ReviewStatus]:
    """What `case_to_json` wrote: the manifests, who asks for what, and the answer."""
    content = json.loads(text)
    fields = content["request"]
    user = fields.pop("user")
    asked = User(user["name"], tuple(user.get("groups", ()))), Request(**fields)
    return content["manifests"], asked, ReviewStatus(**content["answer"])


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}
