"""The moves and the personas of moves.json: people and accounts around the agents, who try to go around the guards."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from agent_identities.attack.request import ABSENT, AttackRequest
from agent_identities.errors import AgentIdentitiesError

ALL_PERSONAS = "all"
_PLACEHOLDER = re.compile(r"\{([A-Za-z]+)\}")
_WITHOUT_DRY_RUN = frozenset({"GET"})


@dataclass(frozen=True, slots=True)
class Persona:
    """Who attacks. ``what`` describes its rights.

    ``namespace`` is where its ServiceAccount is, "" for a namespace of the run. ``bindings`` are pairs (built-in
    ClusterRole, namespace; "" for all namespaces), ``rules`` are pairs (namespace, rules as manifests). ``token`` is
    the placeholder of the agent whose token it has: then it has no account and no rights of its own.
    """

    name: str
    what: str
    namespace: str = ""
    bindings: tuple[tuple[str, str], ...] = ()
    rules: tuple[tuple[str, Sequence[Mapping[str, Any]]], ...] = ()
    token: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """A request that every persona tries. See `about` in moves.json for the keys of ``entry``.

    ``guards``: the ends of the names of the policies that refuse the move. ``nothing``: the remediation, if nothing but
    RBAC stops the move; "" if a guard does.
    """

    id: str
    why: str
    guards: tuple[str, ...]
    nothing: str
    findings: tuple[str, ...]
    entry: Mapping[str, Any]

    @property
    def connect(self) -> bool:
        """Whether the request connects to a pod or Service. Every answer after admission then shows that it passed."""
        return bool(self.entry.get("connect", False))

    def placeholders(self) -> frozenset[str]:
        """The placeholders that need a value."""
        return frozenset(_PLACEHOLDER.findall(json.dumps(self._template())))

    def request(self, names: Mapping[str, str]) -> AttackRequest:
        """The request with these names: dry-run, if it writes."""
        entry = _fill(self._template(), names)
        headers = {"content-type": entry["contentType"]} if entry["contentType"] else {}
        if entry["impersonate"]:
            headers["Impersonate-User"] = f"system:serviceaccount:{names['namespace']}:{entry['impersonate']}"
        path, body = entry["path"], entry["body"]
        if entry["method"] == "DELETE":  # with a body, the API server ignores the query
            body = {"dryRun": ["All"], **(body or {})}
        elif entry["method"] not in _WITHOUT_DRY_RUN:
            path += f"{'&' if '?' in path else '?'}dryRun=All"
        return AttackRequest(
            self.id, entry["method"], path, self.why, headers, "" if body is None else json.dumps(body)
        )

    def _template(self) -> dict[str, Any]:
        """The entry with its fragments, and the defaults of its keys."""
        entry = self.entry
        body = _with_fragments(entry.get("body"), entry.get("account", "{agent}"))
        patches = "application/merge-patch+json" if entry["method"] == "PATCH" else ""
        return {
            "method": entry["method"],
            "path": entry["path"],
            "body": body,
            "contentType": entry.get("contentType", patches),
            "impersonate": entry.get("impersonate", ""),
        }


@cache
def _file() -> dict[str, Any]:
    text = files("agent_identities.attack").joinpath("moves.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


@cache
def moves() -> tuple[Move, ...]:
    """All moves, in the order of moves.json."""
    return tuple(
        Move(
            entry["id"],
            entry["why"],
            tuple(entry.get("guards", ())),
            entry.get("nothing", ""),
            tuple(entry["findings"]),
            entry,
        )
        for entry in _file()["moves"]
    )


@cache
def personas() -> tuple[Persona, ...]:
    """All personas, in the order of moves.json."""
    return tuple(
        Persona(
            entry["name"],
            entry["what"],
            entry.get("namespace", ""),
            tuple((each["role"], each["namespace"]) for each in entry.get("bindings", ())),
            tuple((each["namespace"], each["rules"]) for each in entry.get("rules", ())),
            entry.get("token", "").strip("{}"),
        )
        for entry in _file()["personas"]
    )


def chosen(names: Sequence[str]) -> tuple[Persona, ...]:
    """The personas with these names; ``all`` is all of them. Raises AgentIdentitiesError for another name."""
    known = {persona.name: persona for persona in personas()}
    if unknown := [name for name in names if name not in known and name != ALL_PERSONAS]:
        raise AgentIdentitiesError(
            f"--as-persona {unknown[0]}: no such persona. Use {ALL_PERSONAS}, or one of: {', '.join(known)}"
        )
    return tuple(one for one in personas() if ALL_PERSONAS in names or one.name in names)


def not_tried() -> tuple[str, ...]:
    """What no move tries, as sentences."""
    return tuple(_file()["notTried"])


def fill(value: Any, names: Mapping[str, str]) -> Any:
    """A value of moves.json with the names in place of the placeholders."""
    return _fill(value, {"absent": ABSENT, **names})


def _with_fragments(value: Any, account: str) -> Any:
    match value:
        case str() if value.startswith("@"):
            return _with_fragments(_file()["fragments"][value[1:]], account)
        case str():
            return value.replace("{account}", account)
        case {"@": name, **more}:
            return _with_fragments({**_file()["fragments"][name], **more}, account)
        case Mapping():
            return {_with_fragments(key, account): _with_fragments(each, account) for key, each in value.items()}
        case list():
            return [_with_fragments(each, account) for each in value]
        case _:
            return value


def _fill(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _PLACEHOLDER.sub(lambda found: names[found[1]], value)
        case Mapping():
            return {_fill(key, names): _fill(each, names) for key, each in value.items()}
        case list():
            return [_fill(each, names) for each in value]
        case _:
            return value
