"""The change of the values that makes the quarantine permanent."""

from dataclasses import dataclass
from typing import Any

from agent_identities.kube.client import ApiError
from agent_identities.quarantine.find import FoundAgent, stored_values
from agent_identities.quarantine.plan import instances_of, values_change
from agent_identities.quarantine.read import missing_instances
from agent_identities.quarantine.server import Server


@dataclass(frozen=True, slots=True)
class LastingChange:
    """The values to add, and notes about them."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


def lasting_change(server: Server, found: FoundAgent) -> LastingChange:
    """The change for the target, and for instances that are already quarantined but not in the values.

    If the API server does not serve any more, no request is sent. Raises ServerGoneError if it stops serving.
    """
    entry, names, labels = found.entry, found.target.names, found.labels
    installed = None
    if not server.gone:
        installed = stored_values(server.api, found.home, found.release)  # last, because it can be a megabyte
    values = found.values or installed
    if values is None and entry:
        return LastingChange({"agents": {entry: {"quarantined": True}}})
    entries = (entry,) if entry else tuple(values_change(values, labels, names)["agents"])
    others = instances_of((values if entry else installed) or {}, entries)
    notes: list[str] = []
    if others and not entry:
        try:
            others = missing_instances(server, found.target, others, entries)
        except ApiError as error:
            others = ()
            notes.append(f"Could not read whether other instances are already quarantined: {error}")
    change = values_change(values, labels, dict.fromkeys([*names, *others]))
    if values is None and any(isinstance(one["quarantined"], list) for one in change["agents"].values()):
        notes.append(
            "The values of the release could not be read. If other instances are already quarantined, add their "
            "numbers to the list below: a list in a values file replaces the previous list."
        )
    return LastingChange(change, tuple(notes))
