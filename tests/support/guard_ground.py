"""Places on an API server where the guards of mutants are installed and probed, many at a time.

A place is a namespace with the objects that the probes refer to, and users. The guards of one mutant after another are
installed in it. Probes are dry runs, so the place does not change.
"""

import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from agent_identities.chart.objects import Key, thaw
from agent_identities.kube.client import Answer, Api
from support.controller_kinds import DEFINITIONS, definitions
from support.guard_probes.authors import AUTHORS, EVERY_KIND, policies
from support.guard_probes.controllers import PROBED
from support.guard_probes.fleet import ACCOUNTS as FLEET_ACCOUNTS
from support.guard_probes.model import END, FLEET, Probe, ProbeRequest, collection
from support.guard_probes.release import RELEASE, namespace_of_release
from support.guard_probes.stage import ACCOUNTS, elsewhere, here
from support.guarded import EVERYTHING
from support.server import CREDENTIAL, RBAC, Json
from support.subjects import BIND_AGENTS, RBAC_GROUP

ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
ADMISSION_GROUP: Final = "admissionregistration.k8s.io"
_DENIED: Final = re.compile(r"ValidatingAdmissionPolicy '([^']+)' with binding '([^']+)' denied request: (.*)", re.S)
_PATCHES: Final = {"PATCH": "application/strategic-merge-patch+json", "MERGE": "application/merge-patch+json"}
_PATIENCE: Final = 60.0
_LAG: Final = 2.0
_FURNISHERS: Final = 8


class RefusedObjectError(Exception):
    """The API server refuses an object of a guard, and names the object."""


def denied_by(answer: Answer) -> str:
    """The policy that refused a request; "" if none did."""
    found = _DENIED.search(answer.message)
    return found[1] if found else ""


def until(true: Callable[[], bool], what: str, seconds: float = _PATIENCE) -> None:
    """Waits until a condition is true. Raises AssertionError if it does not become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


@dataclass(slots=True)
class Ground:
    """The API server, a namespace without guards, and the places.

    ``run`` begins the names of all that is made; ``served``: (apiVersion, kind) -> the path of its collection, with
    {namespace} where it is in one.
    """

    api: Api
    run: str
    kubernetes: str
    served: Mapping[tuple[str, str], str]
    made: dict[str, "Place"] = field(default_factory=dict)

    @property
    def elsewhere(self) -> str:
        return f"{self.run}-elsewhere"

    @property
    def mutating(self) -> bool:
        return (f"{ADMISSION_GROUP}/v1", "MutatingAdmissionPolicy") in self.served

    @contextmanager
    def places(self, numbers: Mapping[str, int]) -> Iterator[dict[str, list["Place"]]]:
        """New places for each mode. The places are removed at the end of the block."""
        made = {
            mode: [Place(self, f"{self.run}-{mode.lower()}-{n}", mode) for n in range(number)]
            for mode, number in numbers.items()
        }
        self.made = {place.namespace: place for places in made.values() for place in places}
        try:
            with ThreadPoolExecutor(_FURNISHERS) as pool:
                list(pool.map(Place.furnish, self.made.values()))
                list(pool.map(Place.admit_strangers, self.made.values()))
            yield made
        finally:
            with ThreadPoolExecutor(_FURNISHERS) as pool:
                list(pool.map(Place.clear, self.made.values()))

    def ask(self, request: Callable[[], Answer], own: str) -> tuple[Answer, str]:
        """(answer, the policy that denied the request); "another's" for one that is not of the namespace ``own``.

        If a guard refuses a request in another place, its own place records it: the guard is broken.
        """
        before = {name: place.in_force for name, place in self.made.items()}
        answer = request()
        policy = denied_by(answer)
        if not policy or f".{own}." in policy:
            return answer, policy
        owner = self.made.get(policy.split(".")[1])
        assert owner is not None, f"{policy} is none of ours: {answer.message}"
        # only a guard that was in force during the request: an older one may be gone from its place by now
        if owner.in_force is not None and owner.in_force == before[owner.namespace]:
            owner.trespassing.add(policy)
            owner.remove(f"{ADMISSION}/validatingadmissionpolicies/{policy}")
        return answer, "another's"

    def create(self, path: str, body: Json) -> Json:
        """Creates an object as the administrator."""
        answer = self.api.raw("POST", path, json.dumps(body))
        assert answer.status == 201, f"{path}: {answer.status} {answer.message}"
        return dict(answer.body)


@contextmanager
def ground(api: Api, run: str, kubernetes: str) -> Iterator[Ground]:
    """An API server to probe guards on. kubernetes: its version, v1.36.4."""
    made = Ground(api, run, kubernetes.lstrip("v"), dict(_served(api, f"{ADMISSION_GROUP}/v1", f"{RBAC_GROUP}/v1")))
    there = f"/api/v1/namespaces/{made.elsewhere}"
    kinds = definitions(*PROBED)
    try:
        for definition in kinds:
            answer = api.raw("POST", DEFINITIONS, json.dumps(definition))
            assert answer.status in (201, 409), answer.message
        for probed in PROBED:
            path = probed.path("default")
            until(lambda path=path: api.raw("GET", path).status == 200, str(probed))  # type: ignore[misc]
        made.create("/api/v1/namespaces", {"metadata": {"name": made.elsewhere}})
        until(lambda: api.raw("GET", f"{there}/serviceaccounts/default").status == 200, "the account default")
        for name in ("a", "b"):
            made.create(f"{there}/serviceaccounts", {"metadata": {"name": name}})
        for path, body in elsewhere():
            made.create(path.replace("$e", made.elsewhere), body)
        yield made
    finally:
        for definition in kinds:
            api.raw("DELETE", f"{DEFINITIONS}/{definition['metadata']['name']}")
        api.raw("DELETE", there)
        for kind in ("clusterrolebindings", "clusterroles"):
            api.raw("DELETE", f"{RBAC}/{kind}?labelSelector=test%3D{run}")


def _served(api: Api, *versions: str) -> Iterator[tuple[tuple[str, str], str]]:
    for version in versions:
        for resource in api.get(f"/apis/{version}")["resources"]:
            if "/" not in resource["name"]:
                there = "namespaces/{namespace}/" if resource["namespaced"] else ""
                yield (version, resource["kind"]), f"/apis/{version}/{there}{resource['name']}"


_numbers = itertools.count(1)


class Place:
    """One namespace of agents, and the guards that are in force there."""

    def __init__(self, ground: Ground, namespace: str, mode: str) -> None:
        self.ground, self.namespace, self.mode = ground, namespace, mode
        self.trespassing: set[str] = set()
        self.in_force: int | None = None
        self._standing: list[str] = []
        self._tracers: list[str] = []
        self.release_namespace = namespace_of_release(mode, namespace)
        self._words = {
            "$ns": namespace,
            "$e": ground.elsewhere,
            "$release": RELEASE,
            "$r": self.release_namespace,
        }

    def say(self, text: str) -> str:
        """A text of the table, for this place."""
        for word, meaning in self._words.items():
            text = text.replace(word, meaning)
        return text

    def policy(self, name: str) -> str:
        """The full name of a policy of this place."""
        return f"{RELEASE}.{self.namespace}.{name}"

    # ---- the objects of a place

    def furnish(self) -> None:
        """The namespace, its accounts, pods and the rest, and the rights of the authors."""
        create, labels = self.ground.create, {"test": self.ground.run}
        for namespace in {self.namespace, self.release_namespace}:
            create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        accounts = self.say(collection("serviceaccounts"))
        for name in (*ACCOUNTS, *(FLEET_ACCOUNTS if self.mode == FLEET else ())):
            create(accounts, {"metadata": {"name": name}})
        until(lambda: self.ground.api.raw("GET", f"{accounts}/default").status == 200, "the account default")
        for path, body in here():
            created = json.loads(self.say(json.dumps(body)))
            created["metadata"].setdefault("labels", {}).update(labels)
            create(self.say(path), created)
        self._allow("everything", "", self._people("$"), [EVERYTHING, EVERY_KIND])
        for title, author in AUTHORS.items():
            name = title.replace(" ", "-")
            inside, release = author.here, author.release
            if self.release_namespace == self.namespace:
                inside, release = (*inside, *release), ()
            for rules, namespace in (
                (inside, self.namespace),
                (release, self.release_namespace),
                (author.elsewhere, self.ground.elsewhere),
                (author.cluster, ""),
            ):
                if rules:
                    self._allow(name, namespace, [author.user], rules)

    def _people(self, word: str) -> list[str]:
        """The users among the authors whose name has this word."""
        return [self.say(author.user) for author in AUTHORS.values() if word in author.user]

    def admit_strangers(self) -> None:
        """Lets users of other places bind any subject, also agents of this place: only its own guard refuses it."""
        others = [place for place in self.ground.made.values() if place is not self]
        strangers = [user for place in others for user in place._people("$ns")]
        if strangers:
            self._allow("strangers", self.release_namespace, strangers, [BIND_AGENTS])
            self._allow("strangers", "", strangers, [policies("bindings", "quarantine")])

    def _allow(self, name: str, namespace: str, users: Sequence[str], rules: Iterable[Json]) -> None:
        kind, path = ("Role", f"{RBAC}/namespaces/{namespace}") if namespace else ("ClusterRole", RBAC)
        name = f"{self.namespace}-{name}"
        head = {"metadata": {"name": name, "labels": {"test": self.ground.run}}}
        subjects = [{"apiGroup": RBAC_GROUP, "kind": "User", "name": self.say(user)} for user in users]
        ref = {"apiGroup": RBAC_GROUP, "kind": kind, "name": name}
        given = json.loads(self.say(json.dumps(list(rules))))
        self.ground.create(f"{path}/{kind.lower()}s", head | {"rules": given})
        self.ground.create(f"{path}/{kind.lower()}bindings", head | {"roleRef": ref, "subjects": subjects})

    def clear(self) -> None:
        """Removes everything."""
        self._withdraw()
        for path in self._tracers:
            self.remove(path)
        for namespace in {self.namespace, self.release_namespace}:
            self.remove(f"/api/v1/namespaces/{namespace}")

    def remove(self, path: str) -> None:
        """Deletes an object, if it exists."""
        answer = self.ground.api.raw("DELETE", path)
        assert answer.status in (200, 202, 404), f"{path}: {answer.status} {answer.message}"

    # ---- guards

    def enforce(self, objects: Iterable[tuple[Key, Mapping[str, Any]]]) -> None:
        """Installs these objects in place of the former ones. Raises RefusedObjectError; then none is installed."""
        self._withdraw()
        self.trespassing.clear()
        try:
            for key, body in objects:
                self._post(key, body)
        except RefusedObjectError:
            self._withdraw()
            raise
        self.in_force = self._trace()

    def _post(self, key: Key, body: Mapping[str, Any]) -> None:
        path = self.ground.served.get((body["apiVersion"], key.kind))
        if path is None:
            raise RefusedObjectError(f"{key}: the API server has no {body['apiVersion']} {key.kind}")
        path = path.format(namespace=key.namespace)
        answer = self.ground.api.raw("POST", f"{path}?fieldValidation=Strict", json.dumps(thaw(body)))
        if answer.status == 201:
            self._standing.append(f"{path}/{key.name}")
            return
        names = [name for name in (key.kind, key.name, key.namespace) if name]
        fault = 400 <= answer.status < 500 and answer.status not in (403, 409, 429)
        assert fault and any(name in answer.message for name in names), f"{key}: {answer.status} {answer.message}"  # noqa: PT018 # one message for both
        raise RefusedObjectError(f"{key}: {answer.status} {answer.message}")

    def _withdraw(self) -> None:
        self.in_force = None
        for path in self._standing:
            self.remove(path)
        self._standing.clear()

    def _trace(self) -> int:
        """Waits until the API server enforces everything installed so far: a tracer of each kind of policy comes last.

        The mutating one marks a ConfigMap, the other refuses what is marked. Returns the tracers' number.
        """
        before, self._tracers = self._tracers, []
        for path in before:
            self.remove(path)
        number = next(_numbers)
        name = f"tracer.{self.namespace}.{number}"
        mark = {"traced": str(number)}
        match = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
            ],
        }
        condition = [{"name": "tracer", "expression": f"object.metadata.name == 'tracer-{number}'"}]
        spec: Json = {"failurePolicy": "Fail", "matchConstraints": match, "matchConditions": condition}
        refuse = f"!(has(object.metadata.labels) && object.metadata.labels[?'traced'] == optional.of('{number}'))"
        configuration = f"Object{{metadata: Object.metadata{{labels: {{'traced': '{number}'}}}}}}"
        apply = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": configuration}}
        mutate = spec | {"reinvocationPolicy": "Never", "mutations": [apply]}
        validate = spec | {"validations": [{"expression": refuse, "message": "seen", "reason": "Forbidden"}]}
        made: list[tuple[str, Json]] = [
            ("validatingadmissionpolicies", validate),
            ("validatingadmissionpolicybindings", {"policyName": name, "validationActions": ["Deny"]}),
        ]
        if self.ground.mutating:
            made += [("mutatingadmissionpolicies", mutate), ("mutatingadmissionpolicybindings", {"policyName": name})]
        for kind, body in made:
            self.ground.create(f"{ADMISSION}/{kind}", {"metadata": {"name": name}, "spec": body})
            self._tracers.append(f"{ADMISSION}/{kind}/{name}")
        configmap = {"metadata": {"name": f"tracer-{number}", "labels": {} if self.ground.mutating else mark}}
        path = f"/api/v1/namespaces/{self.namespace}/configmaps?dryRun=All"

        def asked() -> Answer:
            return self.ground.api.raw("POST", path, json.dumps(configmap))

        until(lambda: self.ground.ask(asked, self.namespace)[1] == name, f"guards of {self.namespace}")
        return number

    # ---- probes

    def ask(self, who: str, request: ProbeRequest) -> Answer:
        """What the server answers to an author."""
        author = AUTHORS[who]
        headers = {"Impersonate-User": self.say(author.user)} if author.user else {}
        if author.user.startswith("system:serviceaccount:") and not author.impersonated:
            headers |= CREDENTIAL
        if author.group:
            headers["Impersonate-Group"] = self.say(author.group)
        if request.method in _PATCHES:
            headers |= {"content-type": _PATCHES[request.method]}
        method = "PATCH" if request.method in _PATCHES else request.method
        return self.ground.api.raw(method, self.say(request.path), self.say(json.dumps(request.body)), headers)

    def fails(self, probe: Probe, *, patient: bool = True) -> str:
        """What differs from the expected answer; "" if nothing does. patient: asks again while a guard may lag."""
        deadline = time.monotonic() + _LAG
        while True:
            answer, policy = self.ground.ask(lambda: self.ask(probe.who, probe.request), self.namespace)
            if policy == "another's":
                assert time.monotonic() < deadline + _PATIENCE, f"{probe}: {answer.message}"
            elif self._as_expected(probe, answer, policy):
                return ""
            elif not patient or time.monotonic() > deadline:
                return f"{answer.status} {answer.message[:300]}"
            time.sleep(0.25)

    def _as_expected(self, probe: Probe, answer: Answer, policy: str) -> bool:
        if probe.refused is None:
            return not policy and probe.passes(answer)
        if policy in map(self.policy, probe.also):
            return answer.status == 403
        said = all(self.say(part) in answer.message + END for part in probe.refused)
        return answer.status == 403 and policy == self.policy(probe.policy) and said
