"""Mutants of rendered objects: one object changed, removed or added, as an attacker or a mistake would."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from agent_identities.chart.objects import Key, KubeObject, Objects, thaw
from mutation.mutant import Mutant

Json = dict[str, Any]
Change = Iterator[tuple[str, Json]]
"""(description of the change, the changed object)"""

RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class ObjectMutant(Mutant):
    """``objects`` are all of an install, with one thing changed; ``mutator`` is the name of the change."""

    mutator: str
    objects: Objects


def object_mutants(objects: Objects) -> Iterator[ObjectMutant]:
    """Every mutant of a set of objects. ``id`` is the mutator and the object's key, with what of it is changed."""
    accounts = sorted(key.name for key in objects if key.kind == "ServiceAccount")
    for key, obj in objects.items():
        yield _mutant("removed", str(key), [one for one in objects.values() if one is not obj])
        for mutator, (kinds, change) in MUTATORS.items():
            if key.kind in kinds:
                for what, body in change(_copy(obj), accounts):
                    if body == thaw(obj.body):
                        continue
                    rest = [one for one in objects.values() if one is not obj]
                    yield _mutant(mutator, f"{key}: {what}", [*rest, *_objects(body)])
    for mutator, add in ADDITIONS.items():
        for what, body in add(objects):
            yield _mutant(mutator, what, [*objects.values(), *_objects(body)])


def _mutant(mutator: str, what: str, objects: list[KubeObject]) -> ObjectMutant:
    return ObjectMutant("object", f"{mutator}: {what}", f"{mutator}: {what}", mutator, Objects(_once(objects)))


def _once(objects: list[KubeObject]) -> list[KubeObject]:
    """The last object of each key, which a server would store in the end."""
    found: dict[Key, KubeObject] = {}
    for obj in objects:
        found[obj.key] = obj
    return list(found.values())


def _objects(body: Json) -> list[KubeObject]:
    return list(Objects.from_manifests([body]).values())


def _copy(obj: KubeObject) -> Json:
    body: Json = thaw(obj.body)
    return body


def _with(body: Json, path: tuple[str | int, ...], value: Any) -> Json:
    """A copy with another value at a path; None removes what is there."""
    copy: Json = json.loads(json.dumps(body))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    if value is None:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = value
    return copy


# ---- roles

_DANGEROUS: Final[dict[str, Json]] = {
    "get secrets": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    "create pods/exec": {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
    "create serviceaccounts/token": {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    "impersonate users": {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
    "escalate roles": {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate"]},
    "bind roles": {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["bind"]},
}


def _each_rule(body: Json, key: str, value: Callable[[Json], Any]) -> Change:
    for index, rule in enumerate(body["rules"]):
        if (new := value(rule)) is not rule:
            yield f"rules[{index}]", _with(body, ("rules", index, key), new)


def _wildcard(key: str) -> Callable[[Json, list[str]], Change]:
    return lambda body, _: _each_rule(body, key, lambda rule: ["*"] if rule.get(key) else rule)


def _names_dropped(body: Json, _: list[str]) -> Change:
    yield from _each_rule(body, "resourceNames", lambda rule: None if rule.get("resourceNames") else rule)


def _name_added(body: Json, _: list[str]) -> Change:
    names = "resourceNames"
    yield from _each_rule(body, names, lambda rule: [*rule[names], "another"] if rule.get(names) else rule)


def _verb_added(body: Json, _: list[str]) -> Change:
    yield from _each_rule(body, "verbs", lambda rule: [*rule["verbs"], "deletecollection"])


def _verb_dropped(body: Json, _: list[str]) -> Change:
    yield from _each_rule(body, "verbs", lambda rule: rule["verbs"][1:] if len(rule["verbs"]) > 1 else rule)


def _rule_dropped(body: Json, _: list[str]) -> Change:
    for index in range(len(body["rules"])):
        yield f"rules[{index}]", body | {"rules": body["rules"][:index] + body["rules"][index + 1 :]}


def _rule_added(body: Json, _: list[str]) -> Change:
    for what, rule in _DANGEROUS.items():
        yield what, body | {"rules": [*body["rules"], rule]}


# ---- bindings


def _account(name: str, namespace: str) -> Json:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _subject_added(subject: Callable[[Json, list[str]], list[Json]]) -> Callable[[Json, list[str]], Change]:
    def change(body: Json, accounts: list[str]) -> Change:
        for one in subject(body, accounts):
            yield str(one["name"]), body | {"subjects": [*body["subjects"], one]}

    return change


def _default(_body: Json, _accounts: list[str]) -> list[Json]:
    return [_account("default", "agent-system")]


def _stranger(_body: Json, _accounts: list[str]) -> list[Json]:
    return [_account("stranger", "elsewhere")]


def _siblings(body: Json, accounts: list[str]) -> list[Json]:
    bound = {subject["name"] for subject in body["subjects"]}
    others = [name for name in accounts if name not in bound]
    return (
        [_account(others[0], body["subjects"][0]["namespace"])] if others and "namespace" in body["subjects"][0] else []
    )


def _groups(_body: Json, _accounts: list[str]) -> list[Json]:
    names = ("system:authenticated", "system:serviceaccounts", "system:unauthenticated")
    return [{"kind": "Group", "apiGroup": RBAC, "name": name} for name in names]


def _subject_dropped(body: Json, _: list[str]) -> Change:
    for index in range(len(body["subjects"])):
        yield f"subjects[{index}]", body | {"subjects": body["subjects"][:index] + body["subjects"][index + 1 :]}


def _other_role(body: Json, _: list[str]) -> Change:
    yield "a role that is not there", _with(body, ("roleRef", "name"), f"{body['roleRef']['name']}-x")


def _admin(body: Json, _: list[str]) -> Change:
    yield "cluster-admin", body | {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}}


def _everywhere(body: Json, _: list[str]) -> Change:
    """The same in the whole cluster. It refers to a ClusterRole, because it cannot refer to a Role."""
    cluster = _with(body, ("metadata", "namespace"), None) | {"kind": f"Cluster{body['kind']}"}
    if "roleRef" in cluster:
        cluster["roleRef"] = {**cluster["roleRef"], "kind": "ClusterRole"}
    yield "in the whole cluster", cluster


# ---- accounts and pods


def _set(path: tuple[str | int, ...], values: tuple[Any, ...]) -> Callable[[Json, list[str]], Change]:
    def change(body: Json, _: list[str]) -> Change:
        for value in values:
            yield f"{path[-1]}: {json.dumps(value)}", _with(body, path, value)

    return change


def _other_agent(body: Json, accounts: list[str]) -> Change:
    label = "agent-identities/agent"
    others = [name for name in accounts if name != body["metadata"]["name"]]
    if label in body["metadata"]["labels"] and others:
        yield others[0], _with(body, ("metadata", "labels", label), others[0])


_POD: Final = ("spec", "template", "spec")


def _as_sibling(body: Json, accounts: list[str]) -> Change:
    others = [name for name in accounts if name != body["spec"]["template"]["spec"]["serviceAccountName"]]
    for name in [*others[:1], "nobody-declared-it"]:
        yield name, _with(body, (*_POD, "serviceAccountName"), name)


def _expiry(*seconds: int | None) -> Callable[[Json, list[str]], Change]:
    def change(body: Json, _: list[str]) -> Change:
        for number, volume in enumerate(body["spec"]["template"]["spec"].get("volumes") or ()):
            for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if "serviceAccountToken" in source:
                    where = (*_POD, "volumes", number, "projected", "sources", index, "serviceAccountToken")
                    for value in seconds:
                        yield f"{volume['name']}: {value}", _with(body, (*where, "expirationSeconds"), value)

    return change


def _audience(body: Json, _: list[str]) -> Change:
    for what, changed in _expiry(3600)(body, []):
        number = int(
            next(i for i, one in enumerate(body["spec"]["template"]["spec"]["volumes"]) if one["name"] in what)
        )
        where = (*_POD, "volumes", number, "projected", "sources", 0, "serviceAccountToken", "audience")
        yield what, _with(changed, where, "https://elsewhere.example")


def _open(key: str) -> Callable[[Json, list[str]], Change]:
    def change(body: Json, _: list[str]) -> Change:
        yield "to everybody", _with(body, ("spec", key), [{}])

    return change


def _without_names(body: Json, _: list[str]) -> Change:
    if any("':" in one["expression"] for one in body["spec"].get("variables") or ()):
        yield "variables: []", _with(body, ("spec", "variables"), [])


_CONTAINER: Final = (*_POD, "containers", 0, "securityContext")
_ROLES: Final = ("Role", "ClusterRole")
_BINDINGS: Final = ("RoleBinding", "ClusterRoleBinding")
_POLICIES: Final = ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")

MUTATORS: Final[dict[str, tuple[tuple[str, ...], Callable[[Json, list[str]], Change]]]] = {
    "verb wildcard": (_ROLES, _wildcard("verbs")),
    "resource wildcard": (_ROLES, _wildcard("resources")),
    "group wildcard": (_ROLES, _wildcard("apiGroups")),
    "names dropped": (_ROLES, _names_dropped),
    "name added": (_ROLES, _name_added),
    "verb added": (_ROLES, _verb_added),
    "verb dropped": (_ROLES, _verb_dropped),
    "rule dropped": (_ROLES, _rule_dropped),
    "dangerous rule": (_ROLES, _rule_added),
    "role everywhere": (("Role",), _everywhere),
    "default bound": (_BINDINGS, _subject_added(_default)),
    "stranger bound": (_BINDINGS, _subject_added(_stranger)),
    "sibling bound": (_BINDINGS, _subject_added(_siblings)),
    "group bound": (_BINDINGS, _subject_added(_groups)),
    "subject dropped": (_BINDINGS, _subject_dropped),
    "other role": (_BINDINGS, _other_role),
    "cluster-admin": (_BINDINGS, _admin),
    "binding everywhere": (("RoleBinding",), _everywhere),
    "automount": (
        ("ServiceAccount",),
        _set(
            ("automountServiceAccountToken",),
            (
                True,
                None,
            ),
        ),
    ),
    "kept": (
        ("ServiceAccount", *_ROLES, *_BINDINGS),
        _set(("metadata", "annotations"), ({"helm.sh/resource-policy": "keep"},)),
    ),
    "token secret listed": (("ServiceAccount",), _set(("secrets",), ([{"name": "long-lived"}],))),
    "renamed": (("ServiceAccount",), _set(("metadata", "name"), ("renamed-by-hand",))),
    "moved": (("ServiceAccount", "Deployment", "Role", "RoleBinding"), _set(("metadata", "namespace"), ("elsewhere",))),
    "labelled as another": (("ServiceAccount",), _other_agent),
    "runs as default": (
        ("Deployment",),
        _set(
            (*_POD, "serviceAccountName"),
            (
                "default",
                None,
            ),
        ),
    ),
    "runs as another": (("Deployment",), _as_sibling),
    "pod automounts": (
        ("Deployment",),
        _set(
            (*_POD, "automountServiceAccountToken"),
            (
                True,
                None,
            ),
        ),
    ),
    "token for a year": (("Deployment",), _expiry(3607)),
    "token for long": (("Deployment",), _expiry(86401, None)),
    "other audience": (("Deployment",), _audience),
    "on the host": (("Deployment",), _set((*_POD, "hostNetwork"), (True,))),
    "privileged": (("Deployment",), _set((*_CONTAINER, "privileged"), (True,))),
    "may escalate": (
        ("Deployment",),
        _set(
            (*_CONTAINER, "allowPrivilegeEscalation"),
            (
                True,
                None,
            ),
        ),
    ),
    "capabilities": (
        ("Deployment",),
        _set(
            (*_CONTAINER, "capabilities"),
            (
                {"add": ["SYS_ADMIN"]},
                None,
            ),
        ),
    ),
    "root": (
        ("Deployment",),
        _set(
            (*_POD, "securityContext"),
            (
                {"runAsUser": 0},
                None,
            ),
        ),
    ),
    "reaches all": (("NetworkPolicy",), _open("egress")),
    "reached by all": (("NetworkPolicy",), _open("ingress")),
    "half a policy": (
        ("NetworkPolicy",),
        _set(
            ("spec", "policyTypes"),
            (
                ["Ingress"],
                ["Egress"],
            ),
        ),
    ),
    "guard fails open": (
        _POLICIES,
        _set(
            ("spec", "failurePolicy"),
            (
                "Ignore",
                None,
            ),
        ),
    ),
    "guard without names": (("ValidatingAdmissionPolicy",), _without_names),
    "guard warns": (
        ("ValidatingAdmissionPolicyBinding",),
        _set(
            ("spec", "validationActions"),
            (
                ["Audit"],
                [],
            ),
        ),
    ),
    "guard not bound": (
        ("ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"),
        _set(("spec", "policyName"), ("another",)),
    ),
    "share of all": (("PriorityLevelConfiguration",), _set(("spec",), ({"type": "Exempt"},))),
    "share for all": (
        ("FlowSchema",),
        _set(("spec", "rules", 0, "subjects"), ([{"kind": "Group", "group": {"name": "*"}}],)),
    ),
}
"""Name -> (kinds of objects, the change)."""


# ---- additional objects


def _first(objects: Objects, kind: str) -> KubeObject:
    return next(iter(objects.of_kind(kind)))


def _token_secret(objects: Objects) -> Change:
    for account in objects.of_kind("ServiceAccount"):
        annotations = {"kubernetes.io/service-account.name": account.name}
        meta = {"name": f"{account.name}-token", "namespace": account.key.namespace, "annotations": annotations}
        kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
        yield account.name, {**kind, "metadata": meta}


def _second_pod(objects: Objects) -> Change:
    for deployment in objects.of_kind("Deployment"):
        copy = _copy(deployment)
        yield deployment.name, _with(copy, ("metadata", "name"), f"{deployment.name}-again")


def _admin_binding(objects: Objects) -> Change:
    for account in objects.of_kind("ServiceAccount"):
        yield (
            account.name,
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "oops"},
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [_account(account.name, account.key.namespace)],
            },
        )


def _stray_account(objects: Objects) -> Change:
    account = _first(objects, "ServiceAccount")
    yield "stray", _with(_copy(account), ("metadata", "name"), "stray")


ADDITIONS: Final[dict[str, Callable[[Objects], Change]]] = {
    "token that never ends": _token_secret,
    "two pods, one identity": _second_pod,
    "admin by hand": _admin_binding,
    "undeclared account": _stray_account,
}
"""Name -> the additional objects."""
