"""A guard in force on a real API server, and users with all rights there except the guards' own verbs."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from support.server import RBAC, Json, Server

GUARDS = (
    "defaultAccount",
    "runAs",
    "tokens",
    "tokenSecrets",
    "bindings",
    "roles",
    "accounts",
    "labels",
    "networkPolicies",
    "trustAnchor",
    "records",
    "impersonation",
    "ephemeralContainers",
    "exec",
    "quarantine",
    "shortTokens",
)
EVERYTHING: Json = {
    "apiGroups": ["", "apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io"],
    "resources": ["*"],
    "verbs": ["get", "list", "create", "update", "patch", "delete", "bind", "escalate"],
}
"""What an administrator of all namespaces has: neither the guards' own verbs nor the guards themselves."""

INSTALLS_GUARDS: Json = {
    "apiGroups": ["admissionregistration.k8s.io"],
    "resources": [
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ],
    "verbs": ["get", "create", "patch", "delete"],
}
INSTALLS_AGENTS: list[Json] = [
    {
        "apiGroups": ["", "apps", "networking.k8s.io"],
        "resources": ["serviceaccounts", "secrets", "deployments", "networkpolicies"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    },
    {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete", "bind", "escalate"],
    },
]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A release with a guard in force, the administrator's server, and requests as others."""

    server: Server
    namespace: str
    policy: str

    def path(self, resource: str, group: str = "/api/v1", *, dry_run: bool = True) -> str:
        """Of a collection in the agents' namespace; by default nothing that passes is kept."""
        return f"{group}/namespaces/{self.namespace}/{resource}{'?dryRun=All' if dry_run else ''}"

    def user(self, name: str) -> Server:
        """A user with the rights EVERYTHING in the whole cluster."""
        self.allow_everywhere(name, EVERYTHING)
        return self.server.as_user(f"{name}@{self.namespace}")

    def allow(self, name: str, *rules: Json) -> None:
        """Gives a user these rules in the agents' namespace."""
        self._allow(f"{RBAC}/namespaces/{self.namespace}", "Role", self._user(name), *rules)

    def allow_everywhere(self, name: str, *rules: Json) -> None:
        """Gives a user these rules in the whole cluster."""
        self._allow(RBAC, "ClusterRole", self._user(name), *rules)

    def installer(self) -> list[str]:
        """Helm's flags for a user who may install the chart with its guards, and nothing more."""
        self.allow_everywhere("installer", INSTALLS_GUARDS)
        self.allow("installer", *INSTALLS_AGENTS)
        return [f"--kube-as-user=installer@{self.namespace}"]

    def account(self, name: str, rule: Json = EVERYTHING, *, namespace: str = "") -> Server:
        """A ServiceAccount that asks by a token and holds this rule in the whole cluster."""
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace or self.namespace}
        self._allow(RBAC, "ClusterRole", subject, rule)
        return self.server.as_account(subject["namespace"], name).with_credential()

    def _user(self, name: str) -> Json:
        return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{name}@{self.namespace}"}

    def _allow(self, path: str, kind: str, subject: Json, *rules: Json) -> None:
        meta = {"name": f"{self.namespace}-{uuid.uuid4().hex[:6]}", "labels": {"test": self.namespace}}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": meta["name"]}
        binding = {"metadata": meta, "roleRef": ref, "subjects": [subject]}
        given = json.loads(json.dumps(rules).replace("$ns", self.namespace))
        self.server.create(f"{path}/{kind.lower()}s", {"metadata": meta, "rules": given})
        self.server.create(f"{path}/{kind.lower()}bindings", binding)

    def refuses(self, answer: tuple[int, Json], *parts: str) -> bool:
        """Whether an answer is this guard's refusal, with all of these parts in its message."""
        status, body = answer
        message = body.get("message", "")
        named = f"ValidatingAdmissionPolicy '{self.policy}'" in message
        return status == 403 and named and all(part in message for part in parts)


def use(*names: str, verb: str = "use") -> Json:
    """The rule that lets its holder use agents of the namespace $ns; all of them without names."""
    rule: Json = {"apiGroups": ["agent-identities"], "resources": ["agents/$ns"], "verbs": [verb]}
    return rule | ({"resourceNames": list(names)} if names else {})


def pod(account: str | None, name: str = "p", *, field: str = "serviceAccountName", **spec: Any) -> Json:
    """A Pod that names a ServiceAccount, in a field of choice, or names none."""
    named = {field: account} if account is not None else {}
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "registry.example/x:1"}], **named, **spec},
    }


def only(key: str, values: Json) -> Json:
    """Values with one guard on."""
    given: Json = values.get("guards", {})
    switches = {guard: given.get(guard, {}) | {"enabled": guard == key} for guard in GUARDS}
    return values | {"guards": given | switches | {"enabled": True}}
