"""Each identity has exactly the rights of its tiers."""

from collections.abc import Iterator
from functools import lru_cache

from agent_identities.chart.names import values_path
from agent_identities.chart.objects import Key
from agent_identities.checks.registry import Check, Install
from agent_identities.declaration import Identity
from agent_identities.rbac import PolicyRule, covers, requests_of
from agent_identities.report.model import Finding, Location


def _run(install: Install) -> Iterator[Finding]:
    beyond = lru_cache(covers)  # the same answer for all agents of one tier
    for identity in install.declaration.identities:
        held: dict[str, list[PolicyRule]] = {}
        sources: dict[str, set[str]] = {}
        for grant in install.authorizer.grants_for(identity.user):
            held.setdefault(grant.namespace, []).append(grant.rule)
            sources.setdefault(grant.namespace, set()).add(grant.binding.name)
        for namespace in sorted(held.keys() | {grant.namespace for grant in identity.grants}):
            rules = tuple(held.get(namespace, ()))
            declared = identity.rules_in(namespace)
            for rule in beyond(declared, rules):
                by = ", ".join(sorted(sources[namespace]))
                yield _finding(
                    identity, namespace, f"can {_text(rule)}, which its tiers do not declare,", f"Granted by: {by}."
                )
            for rule in beyond(rules, declared):
                yield _finding(identity, namespace, f"cannot {_text(rule)}, which its tiers declare,", "Bind the tier.")


def _text(rule: PolicyRule) -> str:
    return ", ".join(map(str, requests_of(rule)))


def _finding(identity: Identity, namespace: str, what: str, remediation: str) -> Finding:
    location = Location(
        Key("", "ServiceAccount", identity.namespace, identity.name), values=values_path(identity.entry)
    )
    where = f"in namespace {namespace}" if namespace else "in the whole cluster"
    return CHECK.finding(location, f"{what} {where}", remediation)


CHECK = Check(
    id="within-tiers",
    title="each identity has exactly the rules of its tiers",
    why="This is least privilege, checked for every possible request with the rules of the API server.",
    run=_run,
)
