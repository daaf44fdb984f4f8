import pytest

from agent_identities.rbac import Request
from agent_identities.rbac.request_info import request_info

POD = "/api/v1/namespaces/ns/pods/web"


@pytest.mark.parametrize(
    ("method", "path", "info"),
    [
        # collections and objects
        ("GET", "/api/v1/namespaces/ns/pods", Request("list", "", "pods", namespace="ns")),
        ("GET", "/api/v1/pods?limit=500", Request("list", "", "pods")),
        ("GET", POD, Request("get", "", "pods", "", "web", "ns")),
        ("HEAD", POD, Request("get", "", "pods", "", "web", "ns")),
        ("POST", "/api/v1/namespaces/ns/pods?dryRun=All", Request("create", "", "pods", namespace="ns")),
        ("PUT", POD, Request("update", "", "pods", "", "web", "ns")),
        ("PATCH", POD, Request("patch", "", "pods", "", "web", "ns")),
        ("DELETE", POD, Request("delete", "", "pods", "", "web", "ns")),
        ("DELETE", "/api/v1/namespaces/ns/pods", Request("deletecollection", "", "pods", namespace="ns")),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/ns/deployments/web",
            Request("patch", "apps", "deployments", "", "web", "ns"),
        ),
        ("GET", "/apis/storage.k8s.io/v1/storageclasses", Request("list", "storage.k8s.io", "storageclasses")),
        ("GET", "/api/v1/namespaces/ns/pods/", Request("list", "", "pods", namespace="ns")),
        ("OPTIONS", POD, Request("", "", "pods", "", "web", "ns")),
        # subresources, with further path segments
        ("POST", f"{POD}/exec?command=id", Request("create", "", "pods", "exec", "web", "ns")),
        ("GET", f"{POD}/exec?command=id", Request("get", "", "pods", "exec", "web", "ns")),
        ("GET", f"{POD}/proxy/a/b", Request("get", "", "pods", "proxy", "web", "ns")),
        ("POST", "/api/v1/nodes/n/proxy/run/ns/pod/c", Request("create", "", "nodes", "proxy", "n")),
        (
            "POST",
            "/api/v1/namespaces/ns/serviceaccounts/a/token",
            Request("create", "", "serviceaccounts", "token", "a", "ns"),
        ),
        # a watch: by query, or by the deprecated path
        ("GET", "/api/v1/namespaces/ns/secrets?watch=1", Request("watch", "", "secrets", namespace="ns")),
        ("GET", "/api/v1/secrets?watch", Request("watch", "", "secrets")),
        ("GET", "/api/v1/secrets?watch=false", Request("list", "", "secrets")),
        ("GET", f"{POD}?watch=true", Request("get", "", "pods", "", "web", "ns")),
        ("GET", "/api/v1/watch/namespaces/ns/secrets", Request("watch", "", "secrets", namespace="ns")),
        ("GET", "/api/v1/watch/secrets", Request("watch", "", "secrets")),
        ("GET", "/api/v1/watch/namespaces/ns/pods/web", Request("watch", "", "pods", "", "web", "ns")),
        ("GET", "/api/v1/proxy/namespaces/ns/pods/web/x", Request("proxy", "", "pods", "", "web", "ns")),
        # a field selector with the name of the object
        (
            "GET",
            "/api/v1/namespaces/ns/secrets?fieldSelector=metadata.name%3Ddb",
            Request("list", "", "secrets", "", "db", "ns"),
        ),
        (
            "GET",
            "/api/v1/secrets?watch=1&fieldSelector=type%3Dx,metadata.name%3D%3Ddb",
            Request("watch", "", "secrets", "", "db"),
        ),
        ("GET", "/api/v1/secrets?fieldSelector=metadata.name%21%3Ddb", Request("list", "", "secrets")),
        # a request for a Namespace has the name of the Namespace as its namespace
        ("GET", "/api/v1/namespaces", Request("list", "", "namespaces")),
        ("POST", "/api/v1/namespaces", Request("create", "", "namespaces")),
        ("PATCH", "/api/v1/namespaces/ns", Request("patch", "", "namespaces", "", "ns", "ns")),
        ("PUT", "/api/v1/namespaces/ns/finalize", Request("update", "", "namespaces", "finalize", "ns", "ns")),
        ("PATCH", "/api/v1/namespaces/ns/status", Request("patch", "", "namespaces", "status", "ns", "ns")),
        # non-resource requests
        ("GET", "/", Request("get", path="/")),
        ("GET", "/api", Request("get", path="/api")),
        ("GET", "/api/v1", Request("get", path="/api/v1")),
        ("GET", "/apis/apps/v1", Request("get", path="/apis/apps/v1")),
        ("GET", "/debug/pprof/?seconds=1", Request("get", path="/debug/pprof/")),
        ("POST", "/logs/a%20b", Request("post", path="/logs/a b")),
        ("GET", "/version/a/b/c", Request("get", path="/version/a/b/c")),
    ],
)
def test_a_request_has_the_attributes_that_the_api_server_authorizes(method: str, path: str, info: Request) -> None:
    assert request_info(method, path) == info


def test_a_watch_without_a_resource_is_an_error() -> None:
    with pytest.raises(ValueError, match="ends after /watch/"):
        request_info("GET", "/api/v1/watch")
