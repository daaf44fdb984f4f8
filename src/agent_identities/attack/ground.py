"""The accounts of personas and the objects that their moves are about, created on a throw-away cluster.

All of them are deleted at the end of the run. No container runs: a scheduling gate keeps the pod of the agent pending.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from agent_identities.attack.moves import Persona, fill
from agent_identities.attack.request import ABSENT
from agent_identities.attack.tokens import ATTACK_LABEL, CreatedObjects, TokenStatus, holders, never_starts
from agent_identities.attack.verdict import declared, refusing_policy
from agent_identities.chart.names import AGENT_LABEL
from agent_identities.declaration import EVERYWHERE, Declaration, Identity
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import Answer, Api, ApiError
from agent_identities.rbac import Request, User

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"
_SECONDS = 20.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Attacking:
    """A persona with its credential and the names for its moves. ``api`` is None without a credential: see ``note``.

    ``missing``: the reason why a placeholder has no name in this release.
    """

    persona: Persona
    user: User
    api: Api | None
    names: Mapping[str, str]
    missing: Mapping[str, str]
    note: str = ""


class Ground:
    """Creates what the moves of the personas need. ``release``: the name of the release."""

    def __init__(self, api: Api, declaration: Declaration, release: str, created: CreatedObjects) -> None:
        self._api = api
        self._declaration = declaration
        self._release = release
        self._created = created
        self._own = f"attack-{created.run}"
        self._missing: dict[str, str] = {}
        self._names = dict(self._common())

    def attackers(self, personas: Sequence[Persona]) -> list[Attacking]:
        """The personas, each with a credential. Raises ApiError, and AgentIdentitiesError if an object is refused."""
        self._make("/api/v1/namespaces", "namespace", {"metadata": {"name": self._own}})
        if self._names["neighbour"] == f"{self._own}-neighbour":
            self._make("/api/v1/namespaces", "namespace", {"metadata": {"name": self._names["neighbour"]}})
        self._objects_of_the_agent()
        return [self._attacking(persona) for persona in personas]

    # ---- the names

    def _common(self) -> Iterator[tuple[str, str]]:
        declaration = self._declaration
        agents = [one for one in declaration.agents if one.access == "direct" and one.created]
        write = Request("create", "", "configmaps", namespace=declaration.namespace)
        agents.sort(key=lambda one: not declared(one, write))  # the moves write ConfigMaps as the agent
        target, own = (*agents, declaration.proxy, declaration.proxy)[:2]
        elsewhere = [name for name in declaration.granted_namespaces if name not in (EVERYWHERE, declaration.namespace)]
        yield "namespace", declaration.namespace
        yield "release", self._release
        yield "releaseNamespace", declaration.release_namespace
        yield "agent", target.name
        yield "own", own.name
        yield "proxy", declaration.proxy.name
        yield "tomorrow", f"{ABSENT}-tomorrow"
        yield "absent", ABSENT
        yield "neighbour", elsewhere[0] if elsewhere else f"{self._own}-neighbour"
        yield "record", f"sh.helm.release.v1.{self._release}.v1"
        proxied = next((one.name for one in declaration.agents if one.access == "proxied"), "")
        yield from self._or_missing("proxied", proxied, "the values declare no proxied agent")
        quarantined = next((one.name for one in declaration.quarantined), "")
        yield from self._or_missing("quarantined", quarantined, "the values declare no agent in quarantine")
        yield from self._rights(elsewhere)

    def _rights(self, elsewhere: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The roles and the bindings of the release, and the roles that the values refer to."""
        namespace = self._declaration.namespace
        unused = "no tier has an existingRole of this kind"
        existing = {
            grant.existing.kind: grant.existing.name
            for one in self._declaration.identities
            for grant in one.grants
            if grant.existing is not None and grant.namespace in (EVERYWHERE, namespace)
        }
        yield from self._or_missing("existingRole", existing.get("Role", ""), unused)
        yield from self._or_missing("existingClusterRole", existing.get("ClusterRole", ""), unused)
        here, prefix = f"{_RBAC}/namespaces/{namespace}", f"{namespace}:{self._release}:"
        no_tier = "no agent holds such a role by these values"
        yield from self._or_missing("role", self._first(f"{here}/roles"), no_tier)
        yield from self._or_missing("binding", self._first(f"{here}/rolebindings", with_agents=True), no_tier)
        yield from self._or_missing("clusterRole", self._first(f"{_RBAC}/clusterroles", prefix), no_tier)
        there = f"{_RBAC}/namespaces/{elsewhere[0]}" if elsewhere else ""
        role = self._first(f"{there}/roles", prefix) if there else ""
        binding = self._first(f"{there}/rolebindings", prefix, with_agents=True) if there else ""
        nothing = "the values grant no tier of the chart in another namespace"
        yield from self._or_missing("neighbourRole", role, nothing)
        yield from self._or_missing("neighbourBinding", binding, nothing)

    def _or_missing(self, name: str, value: str, reason: str) -> Iterator[tuple[str, str]]:
        if value:
            yield name, value
        else:
            self._missing[name] = reason

    def _first(self, path: str, prefix: str = "", *, with_agents: bool = False) -> str:
        """The first object of the release in a collection, or "". ``prefix`` is a part of its name.

        A binding must have a role of the release: the API server does not let users write a binding of an absent role.
        """
        selector = f"app.kubernetes.io%2Finstance%3D{self._release},app.kubernetes.io%2Fname%3Dagent-identities"
        accounts = {("ServiceAccount", self._declaration.namespace)}
        for item in self._api.list_all(f"{path}?labelSelector={selector}"):
            subjects = {(each["kind"], each.get("namespace")) for each in item.get("subjects") or ()}
            bound = subjects & accounts and item["roleRef"]["name"].endswith("-role")
            name = str(item["metadata"]["name"])
            if prefix in name and (bound or not with_agents):
                return name
        return ""

    # ---- the objects of the agent

    def _objects_of_the_agent(self) -> None:
        """A Deployment that runs as the agent, its ReplicaSet and pod, a Service of the pod, and a network policy."""
        where, name, agent = self._declaration.namespace, self._own, self._names["agent"]
        labels = {"app": name, ATTACK_LABEL: self._created.run}
        template = {
            "metadata": {"labels": labels | {AGENT_LABEL: agent}},
            "spec": never_starts(agent) | {"restartPolicy": "Always"},
        }
        deployment = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
        }
        service = {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}}
        policy = {"metadata": {"name": name}, "spec": {"podSelector": {"matchLabels": {"app": name}}}}
        self._make(f"/apis/apps/v1/namespaces/{where}/deployments", "deployment", deployment)
        self._make(f"/api/v1/namespaces/{where}/services", "service", service)
        self._make(f"/apis/networking.k8s.io/v1/namespaces/{where}/networkpolicies", "networkpolicy", policy)
        self._names |= {"deployment": name, "service": name, "policy": name}
        for key, collection in (("replicaset", "/apis/apps/v1"), ("pod", "/api/v1")):
            path = f"{collection}/namespaces/{where}/{key}s?labelSelector=app%3D{name}"
            self._names[key] = self._eventually(partial(self._any, path), f"the Deployment {name} has no {key}")

    def _any(self, path: str) -> str:
        return next((str(item["metadata"]["name"]) for item in self._api.list_all(path)), "")

    # ---- the personas

    def _attacking(self, persona: Persona) -> Attacking:
        names = dict(self._names)
        if persona.token:
            return self._with_a_stolen_token(persona, names)
        where, account = persona.namespace or self._own, f"{self._own}-{persona.name}"
        self._make(f"/api/v1/namespaces/{where}/serviceaccounts", "serviceaccount", {"metadata": {"name": account}})
        subject = {"kind": "ServiceAccount", "name": account, "namespace": where}
        for index, (role, namespace) in enumerate(persona.bindings):
            self._bind(f"{account}-{index}", "ClusterRole", role, fill(namespace, names), subject)
        for index, (given, rules) in enumerate(persona.rules):
            name, namespace = f"{account}-own-{index}", fill(given, names)
            kind = "Role" if namespace else "ClusterRole"
            body = {"metadata": {"name": name}, "rules": fill(list(rules), names)}
            self._make(_collection(f"{kind.lower()}s", namespace), kind.lower(), body)
            self._bind(name, kind, name, namespace, subject)
        user = User.service_account(where, account)
        for request in _controls(persona, names):
            self._eventually(partial(self._allowed, user, request), f"{persona.name} has no rights")
        answer = self._api.post(
            f"/api/v1/namespaces/{where}/serviceaccounts/{account}/token", {"spec": {"expirationSeconds": 3600}}
        )
        return Attacking(persona, user, self._api.with_token(answer["status"]["token"]), names, self._missing)

    def _with_a_stolen_token(self, persona: Persona, names: dict[str, str]) -> Attacking:
        identity = self._identity(names[persona.token])
        if names["agent"] == identity.name:  # a release with one agent: it attacks the proxy, or the proxy the agent
            names["agent"] = next(name for name in (names["own"], names["proxy"], ABSENT) if name != identity.name)
        names["own"] = identity.name
        (holder,) = holders(self._api, [identity], self._created, 1)
        note = "" if holder.token_status is TokenStatus.READY else f"{holder.token_status}: {holder.note}"
        return Attacking(persona, identity.user, holder.api, names, self._missing, note)

    def _identity(self, name: str) -> Identity:
        return next(one for one in self._declaration.identities if one.name == name)

    def _bind(self, name: str, kind: str, role: str, namespace: str, subject: Mapping[str, str]) -> None:
        binding = "rolebinding" if namespace else "clusterrolebinding"
        ref = {"apiGroup": _GROUP, "kind": kind, "name": role}
        body = {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]}
        self._make(_collection(f"{binding}s", namespace), binding, body)

    def _allowed(self, user: User, attributes: Mapping[str, str]) -> bool:
        spec = {"user": user.name, "groups": sorted(user.groups), "resourceAttributes": dict(attributes)}
        answer = self._api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec}, repeatable=True)
        return bool(answer["status"].get("allowed"))

    # ---- requests

    def _make(self, collection: str, kind: str, body: dict[str, Any]) -> None:
        answer = self._created.make(collection, kind, body)
        if answer.status != HTTPStatus.CREATED:
            raise AgentIdentitiesError(f"{kind} {body['metadata']['name']} of the attack: {_words(answer)}")

    def _eventually(self, probe: Callable[[], Any], otherwise: str) -> Any:
        deadline = time.monotonic() + _SECONDS
        while not (found := probe()):
            if time.monotonic() > deadline:
                raise ApiError(f"{self._api.server}: {otherwise} after {_SECONDS:.0f} s")
            time.sleep(_PAUSE_SECONDS)
        return found


def _collection(resource: str, namespace: str) -> str:
    return f"{_RBAC}/namespaces/{namespace}/{resource}" if namespace else f"{_RBAC}/{resource}"


def _controls(persona: Persona, names: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A right of each binding of the persona, as attributes of a SubjectAccessReview."""
    for _, namespace in persona.bindings:
        yield {"verb": "create", "resource": "configmaps", "namespace": fill(namespace, names)}
    for namespace, rules in persona.rules:
        rule = fill(dict(rules[0]), names)
        resource, _, subresource = rule["resources"][0].partition("/")
        yield {
            "verb": rule["verbs"][0],
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": subresource,
            "name": (rule.get("resourceNames") or [""])[0],
            "namespace": fill(namespace, names),
        }


def _words(answer: Answer) -> str:
    return refusing_policy(answer.message) or f"{answer.status} {answer.message or json.dumps(dict(answer.body))[:200]}"
