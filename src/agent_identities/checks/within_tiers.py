"""No identity holds more, and none less, than the tiers that the values give it."""

from collections.abc import Iterator
from functools import lru_cache

from agent_identities.checks import Check, Finding, Install, Severity
from agent_identities.declaration import Identity
from agent_identities.rbac import PolicyRule, covers


def _run(install: Install) -> Iterator[Finding]:
    beyond = lru_cache(covers)  # a thousand agents of one tier are one question
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
                yield _finding(identity, namespace, f"may {_text(rule)}, beyond its tiers", f"Look at: {by}.")
            for rule in beyond(rules, declared):
                yield _finding(identity, namespace, f"may not {_text(rule)}, which its tiers declare", "Bind the tier.")


def _text(rule: PolicyRule) -> str:
    target = rule.non_resource_urls or tuple(
        f"{resource}.{group}" if group else resource for group in rule.api_groups for resource in rule.resources
    )
    names = f" named {', '.join(rule.resource_names)}" if rule.resource_names else ""
    return f"{'/'.join(rule.verbs)} {', '.join(target)}{names}"


def _finding(identity: Identity, namespace: str, message: str, cure: str) -> Finding:
    place = f"ServiceAccount {identity.namespace}/{identity.name}"
    where = f"in namespace {namespace}" if namespace else "in the whole cluster"
    return Finding(CHECK.id, Severity.ERROR, place, f"{message} {where}", cure)


CHECK = Check(
    id="within-tiers",
    title="each identity holds the rules of its tiers, no more and no less",
    why="This is what least privilege means here: for every possible request, by the API server's own rule algebra.",
    run=_run,
)
