"""The controllers of guards.controllers: their ServiceAccounts, as deployers (files/controllers.json of the chart)."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from agent_identities.bundled import chart_path


def deployers(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """guards.deployers, and an entry for each ServiceAccount of guards.controllers.

    A controller that the catalogue does not have is left out: the chart refuses it, with a message of its own.
    """
    guards = values.get("guards") or {}
    yield from guards.get("deployers") or ()
    for given in guards.get("controllers") or ():
        item = {"name": given} if isinstance(given, str) else given
        accounts = _accounts().get(item["name"], ())
        names = [item["serviceAccount"]] if item.get("serviceAccount") else [name for _, name in accounts]
        for (namespace, _), name in zip(accounts, names, strict=False):
            shared = {key: item[key] for key in ("agents", "bindAgents") if key in item}
            yield {"kind": "ServiceAccount", "namespace": item.get("namespace") or namespace, "name": name, **shared}


@cache
def _accounts() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Controller -> its ServiceAccounts, as (namespace, name)."""
    catalogue = json.loads((chart_path() / "files" / "controllers.json").read_text(encoding="utf-8"))
    return {
        name: tuple((account["namespace"], account["name"]) for account in controller["accounts"])
        for name, controller in catalogue["controllers"].items()
    }
