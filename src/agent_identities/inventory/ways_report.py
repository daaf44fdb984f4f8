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
from agent_identities.rbac.default_grants import gives_by_default
from agent_identities.rbac.ways_in import Accounts, Bound, union
from agent_identities.report.model import Column, Finding, Location, Severity, Style, Table, cell, many
from agent_identities.report.words import KEEP, REINSTALL, label, phrase

CAN_BECOME = "can-become-agent"
"""The rule of the findings."""

_MOST_NAMES = 3
_MOST_COMMANDS = 3
_BUILT_IN = ("edit", "admin")
_ACTING = "impersonate-on:"
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
    """An error for each subject with a way that is open and that the values do not declare.

    Agents that hold the same roles of the release share an error.
    """
    together: dict[object, list[Entrant]] = {}
    for one in entrants.open:
        together.setdefault(_alike(one, entrants), []).append(one)
    for alike in together.values():
        yield _finding(alike, entrants)


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
                _bindings(one.bound(group)),
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
            "bindings": [_name_of(bound.binding) for bound in _distinct(one.bound(group))],
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


def _alike(one: Entrant, entrants: Entrants) -> object:
    """The roles and requests of an agent whose own roles open the ways. Any other subject has a finding of its own."""
    judged = one.of(Verdict.OPEN)
    bound = one.bound(judged)
    if not (_is_agent(one, entrants) and all(entrants.of_release(each.binding) for each in bound)):
        return one.ways.kind, one.ways.name, one.namespace
    requests = tuple(tuple(step.request for step in each.opening.steps) for each in judged)
    return one.namespace, requests, tuple((each.binding.namespace, each.binding.role_ref) for each in bound)


def _is_agent(one: Entrant, entrants: Entrants) -> bool:
    subject = one.subject
    return (
        subject.kind == "ServiceAccount"
        and subject.namespace == one.namespace
        and subject.name in entrants.accounts[one.namespace]
    )


def _finding(alike: Sequence[Entrant], entrants: Entrants) -> Finding:
    one = alike[0]
    groups = _groups(one.of(Verdict.OPEN))
    titles = list(dict.fromkeys(group[0].opening.way.title for group in groups))
    reached = union(_union(each.of(Verdict.OPEN)) for each in alike)
    bound = _distinct(bound for each in alike for bound in each.bound(each.of(Verdict.OPEN)))
    who = text_of(one.subject) if len(alike) == 1 else label([each.subject.name for each in alike], "ServiceAccounts")
    return Finding(
        CAN_BECOME,
        Severity.ERROR,
        f"{who} can become {_reached(reached, alike, entrants)}: {', '.join(titles)}.",
        Location(_key(bound[0].binding)),
        details=(
            *(_detail(alike, at, reached, entrants) for at in range(len(groups))),
            *_hints(one, groups, bound, entrants),
        ),
        remediation=tuple(_remediation(one, groups, bound, entrants)),
    )


def _detail(alike: Sequence[Entrant], at: int, reached: Accounts, entrants: Entrants) -> str:
    """A way, the group of openings at this position, with the requests and the bindings."""
    groups = [_groups(each.of(Verdict.OPEN))[at] for each in alike]
    accounts = union(map(_union, groups))
    which = f" ({_reached(accounts, alike, entrants)})" if accounts != reached else ""
    bound = [bound for each, group in zip(alike, groups, strict=True) for bound in each.bound(group)]
    return f"{groups[0][0].opening.way.title}{which}: {_requests(groups[0])}, by {_bindings(bound)}"


def _reached(accounts: Accounts, alike: Sequence[Entrant], entrants: Entrants) -> str:
    namespace = alike[0].namespace
    everyone = entrants.accounts[namespace]
    others = everyone - {alike[0].subject.name}
    if len(alike) == 1 and _is_agent(alike[0], entrants) and accounts == others and len(others) > _MOST_NAMES:
        return f"every other agent of {namespace} ({len(others):,} ServiceAccounts)"
    return _accounts(accounts, everyone, namespace)


def _requests(group: Sequence[Judged]) -> str:
    """The shortest requests of a way, and how many others there are."""
    steps = [_request(step.request) for step in group[0].opening.steps]
    more = f", and {many(len(group) - 1, 'other request')}" if len(group) > 1 else ""
    return f"{' and '.join(steps)}{more}"


def _request(request: Request) -> str:
    if request.verb.startswith(_ACTING):
        where = f"in {request.namespace}" if request.namespace else "in all namespaces"
        return f"{request.verb} {request.target} {where}"
    return phrase([request])


def _hints(
    one: Entrant, groups: Sequence[Sequence[Judged]], bound: Sequence[Bound], entrants: Entrants
) -> Iterator[str]:
    ways = {group[0].opening.way.id for group in groups}
    built_in = sorted({each.role.name for each in bound if each.role.kind == "ClusterRole"} & {*_BUILT_IN})
    if "impersonate" in ways and built_in:
        roles = f"ClusterRole {built_in[0]} includes" if len(built_in) == 1 else "ClusterRoles admin and edit include"
        yield f"The built-in {roles} impersonate on serviceaccounts. Bind a narrower Role in {one.namespace}."
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
    own = [each for each in bound if entrants.of_release(each.binding)]
    if own and _is_agent(one, entrants):
        roles = ", ".join(dict.fromkeys(f"{each.role.kind} {each.role.name}" for each in own))
        yield f"The values declare the bindings of {roles}, and not these rules. {REINSTALL}"
        bound = [each for each in bound if not entrants.of_release(each.binding)]
        if not bound:
            yield KEEP
            return
    for each in bound[:_MOST_COMMANDS]:
        yield f"To remove it: {remove_subject(each, of_release=entrants.of_release(each.binding))}"
    if len(bound) > _MOST_COMMANDS:
        others = ", ".join(_name_of(each.binding) for each in bound[_MOST_COMMANDS:])
        yield f"Remove it from these bindings, too: {others}"
    installed = entrants.guards[one.namespace]
    guards = _possible(groups, installed)
    if new := sorted(guards - installed.idle):
        yield f"To refuse a part of it by guards ({', '.join(new)}): guards: {{enabled: true}}"
    if idle := sorted(guards & installed.idle):
        yield f"To refuse a part of it by guards that are not in force ({', '.join(idle)}): {REINSTALL}"
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


def remove_subject(bound: Bound, *, of_release: bool = False) -> str:
    """The command that removes a subject from a binding: the binding, if it has no other subject.

    ``of_release``: the chart makes the binding, so it stays. If Kubernetes gives the subject the role by default, the
    command edits the role, to which rules were added.
    """
    binding = bound.binding
    where = ["-n", binding.namespace] if binding.namespace else []
    kind = binding.kind.lower()
    if gives_by_default(binding, binding.subjects[bound.position]):
        return shlex.join(["kubectl", *where, "edit", binding.role_ref.kind.lower(), binding.role_ref.name])
    if len(binding.subjects) == 1 and not of_release:
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
