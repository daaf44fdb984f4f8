"""The smallest tiers: a diff for each entry, and the values to add."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from agent_identities.audit.proposal import Change, Rightsizing
from agent_identities.audit.rightsize import Proposal, compact
from agent_identities.audit.trace_report import rows
from agent_identities.chart import yaml as strict_yaml
from agent_identities.chart.names import values_path
from agent_identities.declaration import EVERYWHERE
from agent_identities.rbac import PolicyRule, breakdown
from agent_identities.report.model import Block, Finding, Location, Report, Severity, many

_MOST_ENTRIES = 10


def snippet(change: Change) -> str:
    """The values to lay over the others; in comments what to take out of those first, and which tiers nobody holds."""
    comments = [
        f"# Remove {'.'.join(path)}: it is no longer needed, and values files only add." for path in change.removals
    ]
    comments += [f"# tiers.{tier} is held by no agent any more." for tier in change.unheld]
    body = to_yaml(change.values) if change.values else "{}\n"
    return "".join(f"{line}\n" for line in comments) + body


def to_yaml(values: Mapping[str, Any]) -> str:
    """YAML as people write values: the innermost lists on one line."""
    text: str = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=120)
    return text


class _Dumper(yaml.SafeDumper):
    """Each list of texts on one line; quotes for what Go reads as something else than text, though PyYAML does not."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = isinstance(_plain(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _list(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    flow = all(isinstance(item, str) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)


def _plain(text: str) -> object:
    """What the text is without quotes."""
    try:
        return strict_yaml.load(text, name="text")
    except strict_yaml.YamlError:
        return text


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def diff(proposal: Proposal) -> list[str]:
    """A unified diff of what an entry holds, one line a resource; empty where nothing changes."""
    if proposal.untouched:
        return []
    before, after = list(_lines(proposal.declared)), list(_lines(proposal.rules))
    made = difflib.unified_diff(
        before, after, f"{proposal.entry} now", f"{proposal.entry} as used", lineterm="", n=1000
    )
    return [line for line in made if not line.startswith("@@")]


def _lines(rules: Mapping[str, Iterable[PolicyRule]]) -> Iterator[str]:
    for where, held in sorted(rules.items()):
        for rule in compact(atom for each in held for atom in breakdown(each)):
            named = f" named {', '.join(rule.resource_names)}" if rule.resource_names else ""
            for resource in rule.resources:
                group = f".{rule.api_groups[0]}" if rule.api_groups[0] else ""
                name, slash, subresource = resource.partition("/")
                place = "in the whole cluster" if where == EVERYWHERE else f"in {where}"
                yield f"{name}{group}{slash}{subresource} {place}: {' '.join(rule.verbs)}{named}"


def summary(proposals: Sequence[Proposal]) -> str:
    """The counts in one line."""
    narrower = sum(one.narrower for one in proposals)
    right = sum(not one.narrower and not one.untouched for one in proposals)
    unused = sum(len(rules) for one in proposals for rules in one.unused.values())
    untouched = sum(bool(one.untouched) for one in proposals)
    return (
        f"{narrower} of {len(proposals)} to change · {unused} unused grants · {right} of the right size · "
        f"{untouched} left as they are"
    )


def sentences(proposals: Sequence[Proposal]) -> Iterator[str]:
    """What the diff does not show: who is left as it is, what was denied, what something else allowed."""
    alike: dict[str, list[str]] = {}
    for one in proposals:
        if one.untouched:
            alike.setdefault(one.untouched, []).append(one.entry)
    for why, entries in alike.items():
        more = f" and {len(entries) - _MOST_ENTRIES} more" if len(entries) > _MOST_ENTRIES else ""
        are = "it is" if len(entries) == 1 else "they are"
        yield f"{', '.join(entries[:_MOST_ENTRIES])}{more}: left as {are}: {why}."
    for one in proposals:
        if one.denied:
            did = "; ".join(dict.fromkeys(row.did for row in rows(one.denied)))
            held = "now held, as asked for" if one.widened else "not proposed (--include-denied)"
            yield f"{one.entry} was denied {did}: {held}."
        if one.elsewhere:
            did = "; ".join(dict.fromkeys(f"{row.did} by {row.by}" for row in rows(one.elsewhere)))
            yield f"{one.entry} was allowed what these values do not declare: {did}."
        for grant in one.kept:
            yield f"{one.entry} keeps the tier {grant.tier}: its role is somebody else's, and was used."


def build(result: Rightsizing) -> Report:
    """The proposals as a report: a diff for each entry to change, then the values to add.

    JSON has, beside the common keys, {"change": values to lay over, "remove": [path], "unheld": [tier], "entries":
    [{entry, agents, untouched, declared, proposed, unused: {namespace: [rule]} ("" is the whole cluster), denied,
    elsewhere: [text]}]}.
    """
    blocks = [Block("diff", "\n".join(diff(one))) for one in result.proposals if one.narrower]
    if result.change.values:
        blocks.append(Block("yaml", snippet(result.change), "Values to add (-f) after a review"))
    return Report(
        command="rightsize",
        ok=result.ok,
        summary=summary(result.proposals),
        findings=tuple(_findings(result.proposals)),
        notes=(
            *sentences(result.proposals),
            *(f"{each.place} {each.what}: not counted." for each in result.problems),
        ),
        blocks=tuple(blocks),
        data=_data(result),
    )


def _findings(proposals: Sequence[Proposal]) -> Iterator[Finding]:
    for one in proposals:
        unused = sum(len(rules) for rules in one.unused.values())
        if one.narrower and unused:
            yield Finding(
                "unused-grants",
                Severity.WARNING,
                f"{one.entry} has {many(unused, 'grant')} that the log does not show in use.",
                Location(values=values_path(one.entry)),
            )


def _data(result: Rightsizing) -> dict[str, object]:
    return {
        "change": result.change.values,
        "remove": [".".join(path) for path in result.change.removals],
        "unheld": list(result.change.unheld),
        "entries": [
            {
                "entry": one.entry,
                "agents": [each.name for each in one.identities],
                "untouched": one.untouched,
                "declared": _manifests(one.declared),
                "proposed": _manifests(one.rules),
                "unused": _manifests(one.unused),
                "denied": [row.did for row in rows(one.denied)],
                "elsewhere": [f"{row.did} by {row.by}" for row in rows(one.elsewhere)],
            }
            for one in result.proposals
        ],
    }


def _manifests(rules: Mapping[str, Iterable[PolicyRule]]) -> dict[str, list[dict[str, list[str]]]]:
    return {where: [rule.to_manifest() for rule in held] for where, held in rules.items() if held}
