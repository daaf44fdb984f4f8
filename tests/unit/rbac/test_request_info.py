import pytest

from agent_identities.rbac.request_info import RequestInfo, request_info

POD = "/api/v1/namespaces/ns/pods/web"


@pytest.mark.parametrize(
    ("method", "path", "info"),
    [
        # collections and objects
        ("GET", "/api/v1/namespaces/ns/pods", RequestInfo("list", "", "pods", namespace="ns")),
        ("GET", "/api/v1/pods?limit=500", RequestInfo("list", "", "pods")),
        ("GET", POD, RequestInfo("get", "", "pods", "", "web", "ns")),
        ("HEAD", POD, RequestInfo("get", "", "pods", "", "web", "ns")),
        ("POST", "/api/v1/namespaces/ns/pods?dryRun=All", RequestInfo("create", "", "pods", namespace="ns")),
        ("PUT", POD, RequestInfo("update", "", "pods", "", "web", "ns")),
        ("PATCH", POD, RequestInfo("patch", "", "pods", "", "web", "ns")),
        ("DELETE", POD, RequestInfo("delete", "", "pods", "", "web", "ns")),
        ("DELETE", "/api/v1/namespaces/ns/pods", RequestInfo("deletecollection", "", "pods", namespace="ns")),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/ns/deployments/web",
            RequestInfo("patch", "apps", "deployments", "", "web", "ns"),
        ),
        ("GET", "/apis/storage.k8s.io/v1/storageclasses", RequestInfo("list", "storage.k8s.io", "storageclasses")),
        ("GET", "/api/v1/namespaces/ns/pods/", RequestInfo("list", "", "pods", namespace="ns")),
        ("OPTIONS", POD, RequestInfo("", "", "pods", "", "web", "ns")),
        # subresources, and what stands behind them
        ("POST", f"{POD}/exec?command=id", RequestInfo("create", "", "pods", "exec", "web", "ns")),
        ("GET", f"{POD}/exec?command=id", RequestInfo("get", "", "pods", "exec", "web", "ns")),
        ("GET", f"{POD}/proxy/a/b", RequestInfo("get", "", "pods", "proxy", "web", "ns")),
        ("POST", "/api/v1/nodes/n/proxy/run/ns/pod/c", RequestInfo("create", "", "nodes", "proxy", "n")),
        (
            "POST",
            "/api/v1/namespaces/ns/serviceaccounts/a/token",
            RequestInfo("create", "", "serviceaccounts", "token", "a", "ns"),
        ),
        # a watch: by the query, or by the old path
        ("GET", "/api/v1/namespaces/ns/secrets?watch=1", RequestInfo("watch", "", "secrets", namespace="ns")),
        ("GET", "/api/v1/secrets?watch", RequestInfo("watch", "", "secrets")),
        ("GET", "/api/v1/secrets?watch=false", RequestInfo("list", "", "secrets")),
        ("GET", f"{POD}?watch=true", RequestInfo("get", "", "pods", "", "web", "ns")),
        ("GET", "/api/v1/watch/namespaces/ns/secrets", RequestInfo("watch", "", "secrets", namespace="ns")),
        ("GET", "/api/v1/watch/secrets", RequestInfo("watch", "", "secrets")),
        ("GET", "/api/v1/watch/namespaces/ns/pods/web", RequestInfo("watch", "", "pods", "", "web", "ns")),
        ("GET", "/api/v1/proxy/namespaces/ns/pods/web/x", RequestInfo("proxy", "", "pods", "", "web", "ns")),
        # a field selector may name the object
        (
            "GET",
            "/api/v1/namespaces/ns/secrets?fieldSelector=metadata.name%3Ddb",
            RequestInfo("list", "", "secrets", "", "db", "ns"),
        ),
        (
            "GET",
            "/api/v1/secrets?watch=1&fieldSelector=type%3Dx,metadata.name%3D%3Ddb",
            RequestInfo("watch", "", "secrets", "", "db"),
        ),
        ("GET", "/api/v1/secrets?fieldSelector=metadata.name%21%3Ddb", RequestInfo("list", "", "secrets")),
        # namespaces themselves carry their own name as the namespace
        ("GET", "/api/v1/namespaces", RequestInfo("list", "", "namespaces")),
        ("POST", "/api/v1/namespaces", RequestInfo("create", "", "namespaces")),
        ("PATCH", "/api/v1/namespaces/ns", RequestInfo("patch", "", "namespaces", "", "ns", "ns")),
        ("PUT", "/api/v1/namespaces/ns/finalize", RequestInfo("update", "", "namespaces", "finalize", "ns", "ns")),
        ("PATCH", "/api/v1/namespaces/ns/status", RequestInfo("patch", "", "namespaces", "status", "ns", "ns")),
        # no resource at all
        ("GET", "/", RequestInfo("get", path="/")),
        ("GET", "/api", RequestInfo("get", path="/api")),
        ("GET", "/api/v1", RequestInfo("get", path="/api/v1")),
        ("GET", "/apis/apps/v1", RequestInfo("get", path="/apis/apps/v1")),
        ("GET", "/debug/pprof/?seconds=1", RequestInfo("get", path="/debug/pprof/")),
        ("POST", "/logs/a%20b", RequestInfo("post", path="/logs/a b")),
        ("GET", "/version/a/b/c", RequestInfo("get", path="/version/a/b/c")),
    ],
)
def test_a_request_is_read_as_the_api_server_reads_it(method: str, path: str, info: RequestInfo) -> None:
    assert request_info(method, path) == info


def test_a_watch_of_nothing_is_no_request() -> None:
    with pytest.raises(ValueError, match="nothing stands behind /watch/"):
        request_info("GET", "/api/v1/watch")


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (RequestInfo("patch", "apps", "deployments", "scale", "web", "ns"), "patch deployments.apps/scale"),
        (RequestInfo("list", "", "secrets", namespace="ns"), "list secrets"),
        (RequestInfo("get", path="/logs/"), "get /logs/"),
    ],
)
def test_it_reads_as_kubectl_writes_it(info: RequestInfo, text: str) -> None:
    assert str(info) == text
