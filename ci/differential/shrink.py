"""A difference between the evaluator and an API server, made as small as it gets, and kept."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent_identities.kube.reviews import Answer
from agent_identities.rbac import Request, User

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


def case_to_json(about: str, server: str, manifests: Sequence[Manifest], request: Request, answer: Answer) -> str:
    """A case of the frozen corpus: what was loaded, what was asked, what a server of that version answered."""
    content = {
        "about": about,
        "server": server,
        "manifests": manifests,
        "request": {key: value for key, value in asdict(request).items() if value},
        "answer": asdict(answer),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def case_from_json(text: str) -> tuple[list[Manifest], Request, Answer]:
    """What `case_to_json` wrote: the manifests, the request and the answer."""
    content = json.loads(text)
    fields = content["request"]
    user = User(fields["user"]["name"], tuple(fields["user"].get("groups", ())))
    return content["manifests"], Request(**{**fields, "user": user}), Answer(**content["answer"])
