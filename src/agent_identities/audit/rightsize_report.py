"""The rightsize report: a diff for each entry, and the values to add."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import yaml

from agent_identities.audit.proposal import Change, Rightsizing
from agent_identities.audit.rightsize import Proposal, compact
from agent_identities.audit.trace import Trace
from agent_identities.audit.trace_report import rows
from agent_identities.chart import yaml as strict_yaml
from agent_identities.chart.names import values_path
from agent_identities.declaration import EVERYWHERE
from agent_identities.rbac import PolicyRule, breakdown
from agent_identities.report.model import Block, Finding, Location, Report, Severity, many

_MOST_ENTRIES = 10


def snippet(change: Change) -> str:
    """The overlay as YAML. Comments list the keys to remove first, and the tiers that no agent has any more."""
    comments = [
        f"# Remove {'.'.join(path)} from your values: it is not needed, and an overlay cannot remove it."
        for path in change.removals
    ]
    comments += [f"# No agent has the tier tiers.{tier} after this change." for tier in change.unassigned]
    body = to_yaml(change.values) if change.values else "{}\n"
    return "".join(f"{line}\n" for line in comments) + body


def to_yaml(values: Mapping[str, Any]) -> str:
    """YAML in the usual style of values files: lists of strings on one line."""
    text: str = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=120)
    return text


class _Dumper(yaml.SafeDumper):
    """Lists of strings on one line, and quotes for strings that Go's YAML parser would read as another type."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = isinstance(_plain(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _list(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    flow = all(isinstance(item, str) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)


def _plain(text: str) -> object:
    """The value of the text without quotes."""
    try:
        return strict_yaml.load(text, name="text")
    except strict_yaml.YamlError:
        return text


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def diff(proposal: Proposal) -> list[str]:
    """A unified diff of the rules of an entry, one line per resource. Empty without a change."""
    if proposal.unchanged_reason:
        return []
    before, after = list(_lines(proposal.declared)), list(_lines(proposal.rules))
    changes = difflib.unified_diff(
        before, after, f"{proposal.entry} now", f"{proposal.entry} as used", lineterm="", n=1000
    )
    return [line for line in changes if not line.startswith("@@")]


def _lines(rules: Mapping[str, Iterable[PolicyRule]]) -> Iterator[str]:
    for where, held in sorted(rules.items()):
        for rule in compact(atom for each in held for atom in breakdown(each)):
            named = f" named {', '.join(rule.resource_names)}" if rule.resource_names else ""
            for resource in rule.resources:
                group = f".{rule.api_groups[0]}" if rule.api_groups[0] else ""
                name, slash, subresource = resource.partition("/")
                scope = "in the whole cluster" if where == EVERYWHERE else f"in {where}"
                yield f"{name}{group}{slash}{subresource} {scope}: {' '.join(rule.verbs)}{named}"


def summary(proposals: Sequence[Proposal]) -> str:
    """The counts in one line."""
    narrower = sum(proposal.narrower for proposal in proposals)
    minimal = sum(not proposal.narrower and not proposal.unchanged_reason for proposal in proposals)
    unused = sum(len(rules) for proposal in proposals for rules in proposal.unused.values())
    unchanged = sum(bool(proposal.unchanged_reason) for proposal in proposals)
    return (
        f"{narrower} of {len(proposals)} to change · {unused} unused grants · {minimal} already minimal · "
        f"{unchanged} unchanged"
    )


def sentences(proposals: Sequence[Proposal]) -> Iterator[str]:
    """Sentences about what the diff does not show: unchanged entries, denied requests, and undeclared permissions."""
    by_reason: dict[str, list[str]] = {}
    for proposal in proposals:
        if proposal.unchanged_reason:
            by_reason.setdefault(proposal.unchanged_reason, []).append(proposal.entry)
    for reason, entries in by_reason.items():
        more = f" and {len(entries) - _MOST_ENTRIES} more" if len(entries) > _MOST_ENTRIES else ""
        yield f"{', '.join(entries[:_MOST_ENTRIES])}{more}: unchanged: {reason}."
    for proposal in proposals:
        entry = proposal.entry
        if proposal.denied:
            requests = "; ".join(dict.fromkeys(row.requests for row in rows(proposal.denied)))
            granted = "granted by the proposal" if proposal.widened else "not granted (see --include-denied)"
            yield f"{entry}: denied requests: {requests}: {granted}."
        if proposal.undeclared:
            requests = "; ".join(dict.fromkeys(f"{row.requests} by {row.by}" for row in rows(proposal.undeclared)))
            yield f"{entry}: requests that were allowed, but not by these values: {requests}."
        for grant in proposal.kept:
            yield f"{entry}: the tier {grant.tier} is kept, because its existing role was used."


def gaps(trace: Trace) -> Iterator[str]:
    """Sentences about what the logs do not say."""
    yield from (f"{problem}: not counted." for problem in trace.problems)
    yield from (f"{problem}: skipped." for problem in trace.skipped)
    yield from (f"{location}: the log is cut here. What is cut is not counted." for location in trace.incomplete)
    if trace.unlogged:
        verbs = ", ".join(sorted(trace.unlogged))
        yield f"The logs do not contain requests with the verbs {verbs} (see docs/trace.md). Rules with them are kept."


def build(result: Rightsizing) -> Report:
    """The proposals as a report: a diff for each entry to change, then the values to add.

    In addition to the common keys, the JSON report has {"change": overlay of the values, "remove": [path],
    "unassigned": [tier], "entries": [{entry, agents, unchangedReason, declared, proposed, unused: {namespace: [rule]}
    ("" is the whole cluster), denied: [text], undeclared: [text]}]}.
    """
    blocks = [Block("diff", "\n".join(diff(proposal))) for proposal in result.proposals if proposal.narrower]
    if result.change.values:
        blocks.append(Block("yaml", snippet(result.change), "Values to add (-f) after a review"))
    return Report(
        command="rightsize",
        ok=result.ok,
        summary=summary(result.proposals),
        findings=tuple(_findings(result.proposals)),
        notes=(
            *sentences(result.proposals),
            *gaps(result.trace),
        ),
        blocks=tuple(blocks),
        data=partial(_data, result),
    )


def _findings(proposals: Sequence[Proposal]) -> Iterator[Finding]:
    for proposal in proposals:
        unused = sum(len(rules) for rules in proposal.unused.values())
        if proposal.narrower and unused:
            yield Finding(
                "unused-grants",
                Severity.WARNING,
                f"{proposal.entry} has {many(unused, 'grant')} that no request in the log used.",
                Location(values=values_path(proposal.entry)),
            )


def _data(result: Rightsizing) -> dict[str, object]:
    return {
        "change": result.change.values,
        "remove": [".".join(path) for path in result.change.removals],
        "unassigned": list(result.change.unassigned),
        "entries": [
            {
                "entry": proposal.entry,
                "agents": [identity.name for identity in proposal.identities],
                "unchangedReason": proposal.unchanged_reason,
                "declared": _manifests(proposal.declared),
                "proposed": _manifests(proposal.rules),
                "unused": _manifests(proposal.unused),
                "denied": [row.requests for row in rows(proposal.denied)],
                "undeclared": [f"{row.requests} by {row.by}" for row in rows(proposal.undeclared)],
            }
            for proposal in result.proposals
        ],
    }


def _manifests(rules: Mapping[str, Iterable[PolicyRule]]) -> dict[str, list[dict[str, list[str]]]]:
    return {where: [rule.to_manifest() for rule in held] for where, held in rules.items() if held}
