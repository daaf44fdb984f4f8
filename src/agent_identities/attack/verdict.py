"""The verdict on an answer: whether a request was refused, by which component, and whether the values declare it.

A refusal counts only if it is the authorizer's 403 for exactly this request, or if it names the admission policy that
refused the request. Any other answer (404, 409, 422, another 403) means that the authorizer allowed the request.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

from agent_identities.attack.request import AttackRequest, TokenKind
from agent_identities.declaration import EVERYWHERE, Declaration, Identity
from agent_identities.kube.client import Answer
from agent_identities.rbac import PolicyRule, Request, ServiceAccount, User, covers, requests_of, rule_allows
from agent_identities.rbac.default_grants import EVERY_SERVICE_ACCOUNT

POLICY = "ValidatingAdmissionPolicy"
_GUARD = re.compile(rf"(?P<kind>{POLICY}) '(?P<name>[^']+)' with binding '[^']+' denied request: (?P<why>.*)")
_UNAUTHORIZED, _FORBIDDEN, _THROTTLED, _SERVER_ERROR = 401, 403, 429, 500
_SHOWN = 200


class Outcome(StrEnum):
    """The outcome of a request; only UNEXPECTED and NOT_SENT are findings."""

    RBAC = "refused by RBAC"
    GUARD = "refused by a guard"
    TOKEN = "token not accepted"  # noqa: S105 # not a password
    ASKED = "denied by a review"
    DECLARED = "allowed as declared"
    EVERYONE = "allowed to every ServiceAccount"
    WITHHELD = "declared, but refused by RBAC"
    UNEXPECTED = "unexpected"
    NOT_SENT = "not sent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome. ``how``: the server's message, the guard's name, or the reason why there was no answer."""

    outcome: Outcome
    how: str = ""


def refusing_policy(message: str) -> str:
    """The admission policy that a message names, with its message; "" if the message names no policy."""
    found = _GUARD.search(message)
    return f"{found['kind']} {found['name']}: {found['why']}" if found else ""


def is_unavailable(answer: Answer) -> bool:
    """Whether the answer is 429 or a server error, which does not show whether the authorizer allows the request."""
    return answer.status == _THROTTLED or answer.status >= _SERVER_ERROR


def judge(
    request: AttackRequest, identity: Identity, answer: Answer, declaration: Declaration, *, authorized: bool = False
) -> Verdict:
    """The verdict on the API server's answer to a request of this identity.

    ``authorized``: the authorizer allows the request, so a server error does not make it inconclusive.
    """
    if request.token is not TokenKind.OWN:
        return _of_another_token(answer)
    if named := refusing_policy(answer.message):
        return Verdict(Outcome.GUARD, named)
    if answer.status == _UNAUTHORIZED:
        return Verdict(Outcome.NOT_SENT, "401: the token is no longer valid")
    if is_unavailable(answer) and not authorized:
        return Verdict(Outcome.NOT_SENT, f"{answer.status} {answer.message[:_SHOWN]}".rstrip())
    if answer.status == _FORBIDDEN and not answer.message:
        return Verdict(Outcome.NOT_SENT, "403 that is not from the API server: a proxy in front of it answered")
    if refused_by_rbac(request, identity.user, answer):
        return _of_a_refusal(request, identity, answer)
    if request.control == "rules":
        return _of_rules(identity, answer)
    if request.control == "identity":
        return _of_identity(identity, answer)
    if request.asks is not None and not (answer.body.get("status") or {}).get("allowed"):
        return Verdict(Outcome.ASKED, "SelfSubjectAccessReview: not allowed")
    how = f"{answer.status} {answer.message[:_SHOWN]}".rstrip()
    if_allowed = _outcome_if_allowed(request, identity)
    acting = _acting_as(request, declaration)
    if if_allowed is not Outcome.DECLARED or acting is None:
        return Verdict(if_allowed, how)
    # The impersonation is declared: the rights of the impersonated identity decide.
    if f'User "{acting.user.name}" cannot {_words(request.needs)}' in answer.message and answer.status == _FORBIDDEN:
        return Verdict(Outcome.RBAC, answer.message)
    return Verdict(Outcome.DECLARED if declared(acting, request.needs) else Outcome.UNEXPECTED, how)


def _acting_as(request: AttackRequest, declaration: Declaration) -> Identity | None:
    """The declared identity that a request impersonates, or None."""
    account = ServiceAccount.of_user(impersonated(request.headers))
    return declaration.find(*account) if account else None


def _of_a_refusal(request: AttackRequest, identity: Identity, answer: Answer) -> Verdict:
    if request.asks is not None or request.control:
        return Verdict(Outcome.NOT_SENT, f"the review was refused: {answer.message[:_SHOWN]}")
    as_declared = _outcome_if_allowed(request, identity) is Outcome.UNEXPECTED
    return Verdict(Outcome.RBAC if as_declared else Outcome.WITHHELD, answer.message)


def _of_another_token(answer: Answer) -> Verdict:
    if answer.status == _UNAUTHORIZED:
        return Verdict(Outcome.TOKEN, "401 Unauthorized")
    if is_unavailable(answer):
        return Verdict(Outcome.NOT_SENT, f"{answer.status} {answer.message[:_SHOWN]}".rstrip())
    return Verdict(Outcome.UNEXPECTED, f"{answer.status}: the token was accepted")


def _of_rules(identity: Identity, answer: Answer) -> Verdict:
    status: Mapping[str, Any] = answer.body.get("status") or {}
    if "resourceRules" not in status:
        return Verdict(Outcome.NOT_SENT, f"{answer.status} {answer.message[:_SHOWN]}, no list of rules".strip())
    held = [
        PolicyRule.from_manifest(rule)
        for rule in chain(status.get("resourceRules") or (), status.get("nonResourceRules") or ())
    ]
    beyond = covers((*_declared(identity, identity.namespace), *EVERY_SERVICE_ACCOUNT), held)
    if not beyond:
        return Verdict(Outcome.EVERYONE, f"{answer.status}: no undeclared rule")
    return Verdict(Outcome.UNEXPECTED, "has rights that the values do not declare: " + rules_text(beyond))


def rules_text(atoms: Iterable[PolicyRule]) -> str:
    """Single rights in the form of ``kubectl auth can-i``."""
    return "; ".join(str(request) for atom in atoms for request in requests_of(atom))


def _of_identity(identity: Identity, answer: Answer) -> Verdict:
    named = ((answer.body.get("status") or {}).get("userInfo") or {}).get("username")
    if named == identity.user.name:
        return Verdict(Outcome.EVERYONE, f"{answer.status}: {named}")
    return Verdict(
        Outcome.NOT_SENT, f"{answer.status}: the token belongs to {named or 'no user'}, not {identity.user.name}"
    )


# ---- the rights that the authorizer checks


def refused_by_rbac(request: AttackRequest, user: User, answer: Answer) -> bool:
    """Whether the authorizer refused exactly this request of this user (apiserver responsewriters/errors.go)."""
    if answer.status != _FORBIDDEN or answer.body.get("reason") != "Forbidden":
        return False
    who = f'User "{user.name}" cannot '
    if impersonated(request.headers):
        return f"{who}impersonate" in answer.message
    info = request.needs if request.asks is None else None
    return info is None or who + _words(info) in answer.message


def _words(info: Request) -> str:
    if info.path:
        return f'{info.verb} path "{info.path}"'
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    return f'{info.verb} resource "{resource}" in API group "{info.api_group}" {where}'


def impersonated(headers: Mapping[str, str]) -> str:
    """The user that a request impersonates, "" for none."""
    return next((value for name, value in headers.items() if name.lower() == "impersonate-user"), "")


def rights_needed(request: AttackRequest) -> tuple[tuple[Request, ...], ...]:
    """The alternatives of rights that a request needs: all rights of one alternative are sufficient."""
    user = impersonated(request.headers)
    if not user:
        return ((request.needs,),)
    who = ServiceAccount.of_user(user)
    legacy = [
        Request("impersonate", "", "serviceaccounts", "", who.name, who.namespace)
        if who
        else Request("impersonate", "", "users", "", user)
    ]
    for name, value in request.headers.items():
        match name.lower().removeprefix("impersonate-"):
            case "group":
                legacy.append(Request("impersonate", "", "groups", "", value))
            case "uid":
                legacy.append(Request("impersonate", "authentication.k8s.io", "uids", "", value))
            case extra if extra.startswith("extra-"):
                key = extra.removeprefix("extra-")
                legacy.append(Request("impersonate", "authentication.k8s.io", "userextras", key, value))
    if not who or len(legacy) > 1:
        return (tuple(legacy),)
    # KEP-5284: the right to impersonate, and the right to the request.
    info = request.needs
    may = Request("impersonate:serviceaccount", "authentication.k8s.io", "serviceaccounts", "", who.name, who.namespace)
    on = Request(
        f"impersonate-on:serviceaccount:{info.verb}",
        *(info.api_group, info.resource, info.subresource, info.name, info.namespace),
    )
    return (tuple(legacy), (may, on))


def _outcome_if_allowed(request: AttackRequest, identity: Identity) -> Outcome:
    """The outcome of a request that the authorizer allows."""
    alternatives = rights_needed(request)
    if any(all(_allows(EVERY_SERVICE_ACCOUNT, right) for right in rights) for rights in alternatives):
        return Outcome.EVERYONE
    if any(all(declared(identity, right) for right in rights) for rights in alternatives):
        return Outcome.DECLARED
    return Outcome.UNEXPECTED


def declared(identity: Identity, right: Request) -> bool:
    """Whether the values declare this right of the identity, or Kubernetes grants it to every ServiceAccount."""
    return _allows((*_declared(identity, right.namespace), *EVERY_SERVICE_ACCOUNT), right)


def _declared(identity: Identity, namespace: str) -> tuple[PolicyRule, ...]:
    here = identity.rules_in(namespace) if namespace else ()
    return (*identity.rules_in(EVERYWHERE), *here)


def _allows(rules: Iterable[PolicyRule], right: Request) -> bool:
    return any(rule_allows(rule, right) for rule in rules)
