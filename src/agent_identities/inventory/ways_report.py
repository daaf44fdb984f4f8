"""Subjects that may become an agent, as findings, sentences, rows and data."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent_identities.chart.objects import Key
from agent_identities.inventory.guards import Guards, possible_guard
from agent_identities.inventory.ways_in import Entrant, Entrants, Judged, Verdict, text_of
from agent_identities.rbac import Binding, Request, Subject
from agent_identities.rbac.ways_in import Accounts, Bound, union
from agent_identities.report.model import Column, Finding, Location, Severity, Style, Table, cell, many
from agent_identities.report.words import phrase

CAN_BECOME = "can-become-agent"
"""The rule of the findings."""

_MOST_NAMES = 3
_MOST_COMMANDS = 3
_BUILT_IN = ("edit", "admin")
_READS = frozenset({"impersonate", "impersonate-others"})
"""Ways that no admission policy can close: admission does not see reads, and sees the impersonated user."""

_STATES = {
    Verdict.OPEN: ("open", Style.BAD),
    Verdict.REFUSED: ("refused by guard", Style.GOOD),
    Verdict.DECLARED: ("declared:", Style.GOOD),
    Verdict.TRUSTED: ("trusted:", Style.GOOD),
    Verdict.KNOWN: ("part of", Style.MUTED),
    Verdict.ADMINISTRATOR: ("cluster administrator", Style.MUTED),
}


def findings(entrants: Entrants) -> Iterator[Finding]:
    """An error for each subject with a way that is open and that the values do not declare."""
    for one in entrants.open:
        yield _finding(one, entrants)


def counted(entrants: Entrants) -> Iterator[str]:
    """Sentences about the subjects that are not findings."""
    administrators = [each.subject for each in entrants.subjects if each.ways.administrator]
    if administrators:
        names = _listed(list(dict.fromkeys(map(text_of, administrators))))
        yield f"Cluster administrators, who can become every agent: {names}."
    parts = [part for part in _parts(entrants) if part]
    if parts:
        yield f"Other subjects that can become agents, and are not findings (--all lists them): {'; '.join(parts)}."


def _parts(entrants: Entrants) -> Iterator[str]:
    components: dict[str, set[Subject]] = {}
    for one in entrants.subjects:
        for each in one.of(Verdict.KNOWN):
            components.setdefault(each.by, set()).add(one.subject)
    for component, subjects in components.items():
        yield f"{many(len(subjects), 'subject')} of {component}"
    for verdict, words in (
        (Verdict.TRUSTED, "trusted by the values"),
        (Verdict.DECLARED, "declared by the values"),
        (Verdict.REFUSED, "refused by guards"),
    ):
        names = [text_of(one.subject) for one in entrants.subjects if one.of(verdict)]
        yield f"{words}: {_listed(list(dict.fromkeys(names)))}" if names else ""


def table(entrants: Entrants) -> Table:
    """A row for each subject, way and state."""
    columns = ("subject", "can", "agents", "by the request", "binding", "state")
    rows = []
    for one in entrants.subjects:
        everyone = entrants.accounts[one.namespace]
        if one.ways.administrator:
            by = _bindings(one.ways.bound)
            texts = (text_of(one.subject), "do everything", "all", "", by, _STATES[Verdict.ADMINISTRATOR][0])
            rows.append(tuple(cell(text, Style.MUTED) for text in texts))
        for group in _groups(one.judged):
            state, style = _STATES[group[0].verdict]
            texts = (
                text_of(one.subject),
                group[0].opening.way.title,
                _accounts(_union(group), everyone, one.namespace),
                _requests(group),
                _bindings(_bound(one, group)),
                f"{state} {group[0].by}".strip(),
            )
            rows.append(tuple(cell(text, style) for text in texts))
    return Table(tuple(map(Column, columns)), tuple(rows))


def data(entrants: Entrants) -> list[dict[str, Any]]:
    """JSON: a list of {subject, namespace, way, state, by, accounts, requests, bindings}."""
    return [
        {
            "subject": {"kind": one.subject.kind, "name": one.subject.name, "namespace": one.subject.namespace},
            "namespace": one.namespace,
            "way": group[0].opening.way.id,
            "state": group[0].verdict.name.lower(),
            "by": group[0].by,
            "accounts": sorted(_union(group)),
            "requests": [[_json_request(step.request) for step in each.opening.steps] for each in group],
            "bindings": [_name_of(bound.binding) for bound in _distinct(_bound(one, group))],
        }
        for one in entrants.subjects
        for group in _groups(one.judged)
    ] + [
        {
            "subject": {"kind": one.subject.kind, "name": one.subject.name, "namespace": one.subject.namespace},
            "namespace": one.namespace,
            "way": "everything",
            "state": "administrator",
            "by": "",
            "accounts": sorted(entrants.accounts[one.namespace]),
            "requests": [],
            "bindings": [_name_of(bound.binding) for bound in _distinct(one.ways.bound)],
        }
        for one in entrants.subjects
        if one.ways.administrator
    ]


def _json_request(request: Request) -> dict[str, str]:
    return {
        "verb": request.verb,
        "apiGroup": request.api_group,
        "resource": request.resource,
        "subresource": request.subresource,
        "name": request.name,
        "namespace": request.namespace,
    }


# ---- findings


def _finding(one: Entrant, entrants: Entrants) -> Finding:
    everyone = entrants.accounts[one.namespace]
    groups = _groups(one.of(Verdict.OPEN))
    titles = list(dict.fromkeys(group[0].opening.way.title for group in groups))
    reached = _accounts(union(map(_union, groups)), everyone, one.namespace)
    bound = _distinct(bound for group in groups for bound in _bound(one, group))
    return Finding(
        CAN_BECOME,
        Severity.ERROR,
        f"{text_of(one.subject)} can become {reached}: {', '.join(titles)}.",
        Location(_key(bound[0].binding)),
        details=(*(_detail(one, group, everyone) for group in groups), *_hints(one, groups, bound, entrants)),
        remediation=tuple(_remediation(one, groups, bound, entrants)),
    )


def _detail(one: Entrant, group: Sequence[Judged], everyone: Accounts) -> str:
    accounts = _union(group)
    which = f" ({_accounts(accounts, everyone, one.namespace)})" if accounts != everyone else ""
    return f"{group[0].opening.way.title}{which}: {_requests(group)}, by {_bindings(_bound(one, group))}"


def _requests(group: Sequence[Judged]) -> str:
    """The shortest requests of a way, and how many others there are."""
    steps = [step.request for step in group[0].opening.steps]
    more = f", and {many(len(group) - 1, 'other request')}" if len(group) > 1 else ""
    return f"{' with '.join(phrase([each]) for each in steps)}{more}"


def _hints(
    one: Entrant, groups: Sequence[Sequence[Judged]], bound: Sequence[Bound], entrants: Entrants
) -> Iterator[str]:
    ways = {group[0].opening.way.id for group in groups}
    built_in = sorted({each.role.name for each in bound if each.role.kind == "ClusterRole"} & {*_BUILT_IN})
    if "impersonate" in ways and built_in:
        yield (
            f"The built-in ClusterRole {' and '.join(built_in)} includes impersonate on serviceaccounts. Bind a "
            f"narrower Role in {one.namespace}."
        )
    if ways & _READS:
        yield "No guard can close impersonation: admission policies do not see reads."
    if idle := sorted(entrants.guards[one.namespace].idle & _possible(groups)):
        yield (
            f"Guards that are installed, but not in force: {', '.join(idle)}. The binding is missing or does not deny, "
            "or the policy was changed."
        )
    refused = sorted({each.by for each in one.of(Verdict.REFUSED)})
    if refused:
        yield f"Guards in force refuse other ways: {', '.join(refused)}."


def _remediation(
    one: Entrant, groups: Sequence[Sequence[Judged]], bound: Sequence[Bound], entrants: Entrants
) -> Iterator[str]:
    for each in bound[:_MOST_COMMANDS]:
        yield f"To remove it: {remove_subject(each)}"
    if len(bound) > _MOST_COMMANDS:
        others = ", ".join(_name_of(each.binding) for each in bound[_MOST_COMMANDS:])
        yield f"Remove it from these bindings, too: {others}"
    guards = sorted(_possible(groups, entrants.guards[one.namespace]))
    if guards:
        yield f"To refuse a part of it by guards ({', '.join(guards)}): guards: {{enabled: true}}"
    entry = ", ".join(f"{key}: {_yaml(value)}" for key, value in _entry(one.subject).items() if value)
    yield f"To keep it: trustedSubjects: [{{{entry}}}]"


def _possible(groups: Iterable[Iterable[Judged]], installed: Guards | None = None) -> set[str]:
    """The guards that would refuse some of the requests, without those in force, from which the subject is exempt."""
    return {
        guard
        for group in groups
        for each in group
        for step in each.opening.steps
        if (guard := possible_guard(each.opening.way.id, step.request))
        and not (installed and installed.closure(each.opening.way.id, step.request))
    }


def _entry(subject: Subject) -> dict[str, str]:
    return {"kind": subject.kind, "name": subject.name, "namespace": subject.namespace, "reason": "why"}


def _yaml(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-._][A-Za-z0-9]+)*", text) else json.dumps(text)


def remove_subject(bound: Bound) -> str:
    """The command that removes a subject from a binding: the binding, if it has no other subject."""
    binding = bound.binding
    where = ["-n", binding.namespace] if binding.namespace else []
    kind = binding.kind.lower()
    if len(binding.subjects) == 1:
        return shlex.join(["kubectl", *where, "delete", kind, binding.name])
    path = f"/subjects/{bound.position}"
    name = binding.subjects[bound.position].name
    patch = [{"op": "test", "path": f"{path}/name", "value": name}, {"op": "remove", "path": path}]
    return shlex.join(["kubectl", *where, "patch", kind, binding.name, "--type=json", "-p", json.dumps(patch)])


# ---- texts


def _groups(judged: Iterable[Judged]) -> list[list[Judged]]:
    """The openings by way, verdict and reason."""
    groups: dict[tuple[str, Verdict, str], list[Judged]] = {}
    for each in judged:
        groups.setdefault((each.opening.way.id, each.verdict, each.by), []).append(each)
    return list(groups.values())


def _union(group: Iterable[Judged]) -> Accounts:
    return union(each.accounts for each in group)


def _bound(one: Entrant, group: Iterable[Judged]) -> list[Bound]:
    return [one.ways.bound[step.bound] for each in group for step in each.opening.steps]


def _distinct(bound: Iterable[Bound]) -> list[Bound]:
    return list({(each.binding.kind, each.binding.namespace, each.binding.name): each for each in bound}.values())


def _bindings(bound: Iterable[Bound]) -> str:
    texts = [
        f"{_name_of(each.binding)} of {each.binding.role_ref.kind} {each.binding.role_ref.name}"
        for each in _distinct(bound)
    ]
    return _listed(texts)


def _name_of(binding: Binding) -> str:
    return str(_key(binding))


def _key(binding: Binding) -> Key:
    return Key("rbac.authorization.k8s.io", binding.kind, binding.namespace, binding.name)


def _accounts(accounts: Accounts, everyone: Accounts, namespace: str) -> str:
    if accounts == everyone and len(everyone) > _MOST_NAMES:
        return f"every agent of {namespace} ({len(everyone):,} ServiceAccounts)"
    return _listed(sorted(accounts))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
