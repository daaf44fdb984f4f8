"""An API server as tests talk to it: objects in, status codes and objects out, by pytest-helm-charts' client."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import pykube

Json = dict[str, Any]
T = TypeVar("T")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CREDENTIAL = {"Impersonate-Extra-Authentication.kubernetes.io%2Fcredential-id": "JTI=of-a-test"}
"""By this field the API server tells a bound token of a ServiceAccount from a user who impersonates the account."""


class Server:
    """Requests with the credentials of one kubeconfig."""

    def __init__(self, client: pykube.HTTPClient, headers: dict[str, str] | None = None) -> None:
        self.client = client
        self.headers = headers or {}

    def as_user(self, name: str, group: str | None = None) -> "Server":
        """The same server, asked as another user by impersonation: for a ServiceAccount with all of its groups."""
        group_header = {"Impersonate-Group": group} if group else {}
        return Server(self.client, {"Impersonate-User": name, **group_header})

    def as_account(self, namespace: str, name: str) -> "Server":
        """The same server, asked as a ServiceAccount by impersonation."""
        return self.as_user(f"system:serviceaccount:{namespace}:{name}")

    def with_credential(self) -> "Server":
        """The same server, with the extra field that a bound token brings: only an administrator may send it."""
        return Server(self.client, self.headers | CREDENTIAL)

    def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """(HTTP status, answer). The path is absolute: /api/v1/namespaces/x."""
        url = self.client.url + path
        response = self.client.session.request(method, url, json=body, headers=self.headers, timeout=30)
        return response.status_code, response.json()

    def patch(self, path: str, change: Json) -> tuple[int, Json]:
        """A strategic merge patch."""
        headers = self.headers | {"Content-Type": "application/strategic-merge-patch+json"}
        response = self.client.session.patch(self.client.url + path, json=change, headers=headers, timeout=30)
        return response.status_code, response.json()

    def get(self, path: str) -> Json:
        status, answer = self.request("GET", path)
        assert status == 200, answer
        return answer

    def items(self, path: str) -> list[Json]:
        items: list[Json] = self.get(path)["items"]
        return items

    def names(self, path: str) -> set[str]:
        return {item["metadata"]["name"] for item in self.items(path)}

    def create(self, path: str, body: Json) -> Json:
        status, answer = self.request("POST", path, body)
        assert status == 201, answer
        return answer

    def delete(self, path: str) -> None:
        status, answer = self.request("DELETE", path)
        assert status in (200, 202, 404), answer

    def make_namespace(self, name: str, **labels: str) -> None:
        self.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})

    def with_token(self, token: str) -> "Server":
        """The same server, with this token as the only credential."""
        config = self.client.config
        cluster = {
            "server": self.client.url,
            "certificate-authority": config.cluster["certificate-authority"].filename(),
        }
        document = {
            "current-context": "agent",
            "clusters": [{"name": "server", "cluster": cluster}],
            "users": [{"name": "agent", "user": {"token": token}}],
            "contexts": [{"name": "agent", "context": {"cluster": "server", "user": "agent"}}],
        }
        return Server(pykube.HTTPClient(pykube.KubeConfig(document)))

    def token(self, namespace: str, account: str, **spec: Any) -> str:
        """A token of a ServiceAccount, by TokenRequest."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        token: str = self.create(path, {"spec": {"expirationSeconds": 600, **spec}})["status"]["token"]
        return token


def eventually(probe: Callable[[], T], *, seconds: float = 30) -> T:
    """Returns the first true result of a probe; fails with its last result."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(0.1)
    return answer
