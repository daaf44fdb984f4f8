"""The findings about bindings and Roles with which agents hold what the values do not declare."""

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence

from agent_identities.chart.objects import Key
from agent_identities.declaration import EVERYWHERE, Declaration
from agent_identities.inventory.bindings import HeldRole, holders_of
from agent_identities.inventory.confirm import Confirmed
from agent_identities.inventory.release_objects import ReleaseObjects
from agent_identities.rbac import Binding, PolicyRule, Request, Subject, covers, requests_of
from agent_identities.rbac.authorizer import authenticated_as
from agent_identities.rbac.default_grants import gives_by_default, of_kubernetes
from agent_identities.rbac.model import API_GROUP
from agent_identities.rbac.served import UNKNOWN, Served
from agent_identities.report.model import Finding, Location, Severity
from agent_identities.report.words import KEEP, REINSTALL, delete_command, few_rights, label

UNDECLARED_BINDING = "undeclared-binding"
UNDECLARED_RULE = "undeclared-rule"
DANGLING_BINDING = "dangling-binding"
UNDECLARED_SUBJECT = "undeclared-subject"

_MOST_RISKS = 6
_MOST_ALIKE = 10  # more bindings of one role to the same agents share a finding
_MOST_NAMED = 5
_MOST_SUBJECTS = 10


def binding_findings(
    held: Sequence[HeldRole], answers: Sequence[Confirmed], served: Served = UNKNOWN
) -> Iterator[Finding]:
    """A finding for each binding and each changed rule. ``answers``: the API server's about each binding.

    ``served``: the resources of the API server. Rights that a request can use are named first.
    """
    asked = {each.key: answer for each, answer in zip(held, answers, strict=True) if not each.declared}
    asked_roles = {each.role_key: answer for each, answer in zip(held, answers, strict=True) if each.declared}
    changed: dict[object, list[HeldRole]] = {}
    alike: dict[object, list[HeldRole]] = {}
    for each in held:
        if each.declared:
            changed.setdefault((each.role_key, each.namespace), []).append(each)
        else:
            key = (each.binding.kind, each.role_key, len(each.identities), each.identities[0].name, len(each.beyond))
            alike.setdefault(key, []).append(each)
    for roles in changed.values():
        yield from _changed_rules(roles, asked_roles[roles[0].role_key], served)
    for group in alike.values():
        if len(group) > _MOST_ALIKE:
            yield _undeclared(group, asked[group[0].key], served)
        else:
            yield from (_undeclared([each], asked[each.key], served) for each in group)


def foreign_subjects(bindings: Iterable[Binding], declaration: Declaration) -> Iterator[Finding]:
    """A finding for each binding of the release with subjects that are not agents, nor groups of agents.

    Outside the agents' namespace, the ServiceAccounts of the agents' namespace can belong to another release.
    """
    release, home = ReleaseObjects(declaration), declaration.namespace
    agents = {holder for one in declaration.identities for holder in holders_of(one)}
    for binding in bindings:
        others = [
            at
            for at, subject in enumerate(binding.subjects)
            if authenticated_as(subject, binding.namespace) not in (None, *agents)
            and (binding.namespace == home or subject.namespace != home)
        ]
        if others and release.makes_binding(binding):
            names = _named([binding.subjects[at] for at in others])
            key = Key(API_GROUP, binding.kind, binding.namespace, binding.name)
            yield Finding(
                UNDECLARED_SUBJECT,
                Severity.ERROR,
                f"{key} belongs to the release, and gives {binding.role_ref.kind} {binding.role_ref.name} also to "
                f"{names}, but the values do not declare it.",
                Location(key),
                remediation=(f"To remove it: {_without_subjects(binding, others)}",),
            )


def _undeclared(alike: Sequence[HeldRole], answer: Confirmed, served: Served) -> Finding:
    first = alike[0]
    who = _who(first)
    names = [str(each.key) for each in alike[:_MOST_NAMED]]
    bindings = ", ".join(names) + (f" and {len(alike) - len(names)} more" if len(alike) > len(names) else "")
    where = _where(alike)
    location = Location(first.key)
    if first.role is None and not first.unread:
        return Finding(
            DANGLING_BINDING,
            Severity.WARNING,
            f"{bindings}: gives {who} no rights today, because {first.role_key} does not exist. It gives rights as "
            f"soon as a user creates the role, and the values do not declare the binding.",
            location,
            remediation=tuple(_removal(alike)),
        )
    if first.role is None:
        return Finding(
            UNDECLARED_BINDING,
            Severity.ERROR,
            f"{bindings}: gives {who} {first.role_key}{where}, but the values do not declare it. The role could not be "
            f"read.",
            location,
            remediation=(*_removal(alike), KEEP),
        )
    if not first.beyond:
        return Finding(
            UNDECLARED_BINDING,
            Severity.WARNING,
            f"{bindings}: gives {who} {first.role_key}{where}. The values declare these rights, but not this binding: "
            f"it stays if the values change.",
            location,
            remediation=tuple(_removal(alike)),
        )
    denied = answer.allowed is False
    today = "The API server denies the requests that were asked about." if denied else ""
    return Finding(
        UNDECLARED_BINDING,
        Severity.ERROR,
        f"{who} may {_usable(first.requests(), served)}{where}, but the values do not declare it: {bindings} of "
        f"{first.role_key}. {today}".rstrip(),
        location,
        details=(*_risks(first, first.beyond), *_answer(answer)),
        remediation=(*_removal(alike), *(() if any(one.quarantined for one in first.identities) else (KEEP,))),
    )


def _changed_rules(roles: Sequence[HeldRole], answer: Confirmed, served: Served) -> Iterator[Finding]:
    """A finding for each rule of a Role of the chart that has more than declared, for all agents that hold it."""
    first = roles[0]
    identities = list(dict.fromkeys(one.name for each in roles for one in each.identities))
    beyond = tuple(dict.fromkeys(atom for each in roles for atom in each.beyond))
    rules = first.role.rules if first.role is not None else ()
    for index, rule in enumerate(rules):
        mine = [atom for atom in beyond if not covers([rule], [atom])]
        if not mine:
            continue
        requests = [request for atom in mine for request in requests_of(atom, first.namespace)]
        yield Finding(
            UNDECLARED_RULE,
            Severity.ERROR,
            f"{label(identities, 'ServiceAccounts')} may {_usable(requests, served)}{_where(roles[:1])}, but the "
            f"values do not declare it: {first.role_key} was changed.",
            Location(first.role_key, f"rules[{index}]"),
            details=(*_risks(first, mine), *_answer(answer)),
            remediation=(REINSTALL, KEEP),
        )


def _usable(requests: Iterable[Request], served: Served) -> str:
    """The rights that requests can use; all rights, if the API server serves none of these requests today."""
    every = list(requests)
    sent = (served.sent(each) for each in every)
    return few_rights(list(dict.fromkeys(each for each in sent if each is not None)) or every)


def _who(held: HeldRole) -> str:
    names = label([one.name for one in held.identities], "ServiceAccounts")
    groups = [held.binding.subjects[at].name for at in held.subjects if held.binding.subjects[at].kind == "Group"]
    quarantined = " (quarantined)" if all(one.quarantined for one in held.identities) else ""
    through = f" (by {'Group' if len(groups) == 1 else 'Groups'} {', '.join(groups)})" if groups else ""
    return f"{names}{quarantined}{through}"


def _where(alike: Sequence[HeldRole]) -> str:
    if alike[0].namespace == EVERYWHERE:
        return " in the whole cluster"
    namespaces = list(dict.fromkeys(each.namespace for each in alike))
    named = ", ".join(namespaces[:_MOST_NAMED])
    more = f" and {len(namespaces) - _MOST_NAMED} more namespaces" if len(namespaces) > _MOST_NAMED else ""
    return f" in {named}{more}"


def _risks(held: HeldRole, atoms: Iterable[PolicyRule]) -> Iterator[str]:
    """The critical and high risks of some undeclared rights."""
    some = set(atoms)
    severe = [
        f"{risk.id} ({risk.severity})"
        for risk, having in held.risks
        if risk.severity in ("critical", "high") and not some.isdisjoint(having)
    ]
    if severe:
        more = f" and {len(severe) - _MOST_RISKS} more" if len(severe) > _MOST_RISKS else ""
        yield f"Risks: {', '.join(severe[:_MOST_RISKS])}{more}"


def _answer(answer: Confirmed) -> Iterator[str]:
    if answer.allowed is not None:
        other = "" if answer.by_binding else "allowed, but by another binding, too: " if answer.allowed else ""
        yield f"API server: {other}{answer.reason or 'no reason given: no binding allows it'}"


def _removal(alike: Iterable[HeldRole]) -> Iterator[str]:
    """The commands that take the rights from the agents, without those that a user needs for other subjects."""
    for held in list(alike)[:_MOST_NAMED]:
        binding = held.binding
        delete = delete_command(binding.kind, binding.namespace, binding.name)
        others = [each for at, each in enumerate(binding.subjects) if at not in held.subjects]
        if all(gives_by_default(binding, binding.subjects[at]) for at in held.subjects):
            yield f"{held.role_key} belongs to Kubernetes, and was changed. To remove the rules: {_without_rules(held)}"
            continue
        if not others and not held.own_name:
            yield f"To remove it: {delete}"
            continue
        yield f"To remove it for {_who(held)} only: {_without_subjects(binding, held.subjects)}"
        if held.own_name:
            yield f"The binding belongs to the release. {REINSTALL}"
        elif not of_kubernetes(binding):
            yield f"To remove it for all its subjects, also for {_named(others)}: {delete}"


def _without_rules(held: HeldRole) -> str:
    """A command that removes the rules of a role that give undeclared rights, if they are still at their positions."""
    rules = held.role.rules if held.role is not None else ()
    patch = [
        operation
        for at, rule in reversed(list(enumerate(rules)))
        if any(not covers([rule], [atom]) for atom in held.beyond)
        for operation in (
            {"op": "test", "path": f"/rules/{at}/verbs", "value": list(rule.verbs)},
            {"op": "remove", "path": f"/rules/{at}"},
        )
    ]
    where = ["-n", held.role_key.namespace] if held.role_key.namespace else []
    change = ["--type=json", "-p", json.dumps(patch, separators=(",", ":"))]
    return shlex.join(["kubectl", *where, "patch", held.role_key.kind.lower(), held.role_key.name, *change])


def _without_subjects(binding: Binding, subjects: Sequence[int]) -> str:
    """A command that removes subjects of a binding, if they are still at the same positions."""
    where = ["-n", binding.namespace] if binding.namespace else []
    if len(subjects) > _MOST_SUBJECTS:
        return shlex.join(["kubectl", *where, "edit", binding.kind.lower(), binding.name])
    patch = [
        operation
        for at in sorted(subjects, reverse=True)
        for operation in (
            {"op": "test", "path": f"/subjects/{at}/name", "value": binding.subjects[at].name},
            {"op": "remove", "path": f"/subjects/{at}"},
        )
    ]
    change = ["--type=json", "-p", json.dumps(patch, separators=(",", ":"))]
    return shlex.join(["kubectl", *where, "patch", binding.kind.lower(), binding.name, *change])


def _named(subjects: Sequence[Subject]) -> str:
    names = [f"{each.kind} {each.namespace}/{each.name}".replace(" /", " ") for each in subjects[:_MOST_NAMED]]
    return ", ".join(names) + (f" and {len(subjects) - len(names)} more" if len(subjects) > len(names) else "")
