"""The change of the values that makes the quarantine permanent."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent_identities.declaration import declare
from agent_identities.kube.client import ApiError
from agent_identities.quarantine.find import FoundAgent
from agent_identities.quarantine.plan import instances_of, values_change
from agent_identities.quarantine.read import missing_instances
from agent_identities.quarantine.release import Stored
from agent_identities.quarantine.server import Server


@dataclass(frozen=True, slots=True)
class LastingChange:
    """The values to add, {} if there is nothing to add, and notes about them.

    ``already`` says where the quarantine already is. ``upgradable`` is false if Helm refuses an upgrade of the release.
    ``not_created`` are the ServiceAccounts of the target that the chart does not create.
    """

    values: dict[str, Any]
    notes: tuple[str, ...] = ()
    already: str = ""
    upgradable: bool = True
    not_created: tuple[str, ...] = ()


def lasting_change(
    server: Server, found: FoundAgent, kept: Stored | None, unknown: Container[str] = ()
) -> LastingChange:
    """The change for the target, and for instances that are already quarantined but not in the values.

    ``kept`` are the values in Helm's records, None if they could not be read. ``unknown`` are entries that the chart
    refuses without another key, because it does not know the agent any more: they get a key with its default. If the
    API server does not serve any more, no request is sent. Raises ServerGoneError if it stops serving.
    """
    installed = kept.values if kept is not None else None
    notes = list(_about_the_record(found.release, kept))
    known = [values for values in (found.values, installed) if values is not None]
    sources: list[Mapping[str, Any] | None] = [*known] or [None]
    changes = [_change(server, found, values, installed, notes) for values in sources]
    change = next(filter(None, changes), {})
    for entry in change.get("agents", {}):
        if entry in unknown:
            change["agents"][entry] = {"access": "direct", **change["agents"][entry]}
    if change and installed is None and _has_a_list(change):
        notes.append(
            "The values of the release could not be read. If other instances are already quarantined, add their "
            "numbers to the list below: a list in a values file replaces the previous list."
        )
    if found.values is not None and change and not changes[0]:
        notes.append("The values files already have the quarantine, but the deployed release does not.")
    return LastingChange(
        {kept.within: change} if change and kept is not None and kept.within else change,
        tuple(dict.fromkeys(notes)),
        "" if change else _already(found, kept),
        upgradable=kept is None or kept.reused,
        not_created=_not_created(found, sources[0]),
    )


def _change(
    server: Server,
    found: FoundAgent,
    values: Mapping[str, Any] | None,
    installed: Mapping[str, Any] | None,
    notes: list[str],
) -> dict[str, Any]:
    """The values to add to ``values``; {} if they already have the quarantine."""
    if found.every:
        return {} if values is not None and values.get("quarantined") is True else {"quarantined": True}
    entry, names, labels = found.entry, found.target.names, found.labels
    if values is None and entry:
        return {"agents": {entry: {"quarantined": True}}}
    entries = (entry,) if entry else tuple(values_change(values, labels, names)["agents"])
    others = instances_of((values if entry else installed) or {}, entries)
    if others and not entry:
        try:
            others = missing_instances(server, found.target, others, entries)
        except ApiError as error:
            others = ()
            notes.append(f"Could not read whether other instances are already quarantined: {error}")
    change = values_change(values, labels, dict.fromkeys([*names, *others]))
    return change if change["agents"] else {}


def _has_a_list(change: Mapping[str, Any]) -> bool:
    return any(isinstance(one["quarantined"], list) for one in change.get("agents", {}).values())


def _about_the_record(release: str, kept: Stored | None) -> Iterator[str]:
    """Whose values the next upgrade reuses, if these are not the newest."""
    if kept is None:
        return
    newest, revision = kept.newest, kept.revision
    if newest != revision:
        yield (
            f"Revision {newest.number} of release {release} is {newest.status}, and its values are not in force. "
            f"helm upgrade reuses the values of revision {revision.number} ({revision.status})."
        )
    elif not kept.reused and not newest.is_pending:
        yield (
            f"Release {release} is {newest.status}: Helm cannot upgrade it. An install of the chart creates the agents "
            "of its values again."
        )


def _already(found: FoundAgent, kept: Stored | None) -> str:
    if kept is not None and kept.values is not None and kept.reused:
        return f"The values of release {found.release} (revision {kept.revision.number}) already have the quarantine."
    return (
        "The values files already have the quarantine. The values of the release could not be read: upgrade the "
        "release with these files, unless this was done already."
    )


def _not_created(found: FoundAgent, values: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The ServiceAccounts of the target with `serviceAccount: {create: false}`."""
    if values is None:
        return ()
    entries = {
        name
        for name, agent in (values.get("agents") or {}).items()
        if ((agent or {}).get("serviceAccount") or {}).get("create") is False
    }
    declared = declare(values, namespace=found.home)
    return tuple(
        one.name
        for one in (*declared.agents, *declared.quarantined)
        if one.entry in entries and one.name in found.target.names
    )
