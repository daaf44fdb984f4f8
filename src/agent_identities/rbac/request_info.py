"""The verb, group, resource, name and namespace that the API server authorizes, from the method and URL of a request.

As in k8s.io/apiserver pkg/endpoints/request/requestinfo.go. The API server authorizes a request before routing, also
for a resource that does not exist: without permission, the response is 403, not 404.
"""

from urllib.parse import parse_qs, unquote, urlsplit

from agent_identities.rbac.request import Request

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_VERBS_IN_PATH = frozenset({"proxy", "watch"})
_SUBRESOURCES_OF_NAMESPACES = frozenset({"status", "finalize"})
_FALSE = frozenset({"false", "0"})


def request_info(method: str, path: str) -> Request:
    """Parse a method and a path with an optional query. Raises ValueError for a path that the API server rejects."""
    url = urlsplit(path)
    plain = unquote(url.path)
    non_resource = Request(method.lower(), path=plain)
    parts = plain.strip("/").split("/")
    least = {"api": 3, "apis": 4}.get(parts[0])
    if least is None or len(parts) < least:
        return non_resource
    group = parts[1] if parts[0] == "apis" else ""
    parts = parts[least - 1 :]  # without prefix, group and version
    verb = _VERBS.get(method.upper(), "")
    if parts[0] in _VERBS_IN_PATH:
        if len(parts) == 1:
            raise ValueError(f"{method} {path}: the path ends after /{parts[0]}/")
        verb, parts = parts[0], parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _SUBRESOURCES_OF_NAMESPACES:
            parts = parts[2:]
    resource, name, subresource = (*parts, "", "")[:3]
    if verb == "proxy":
        subresource = ""
    if not name and verb == "get":
        verb, name = _list_or_watch(url.query)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Request(verb, group, resource, subresource, name, namespace)


def _list_or_watch(query: str) -> tuple[str, str]:
    """The verb, and the name in the field selector."""
    fields = parse_qs(query, keep_blank_values=True)
    watch = "watch" in fields and fields["watch"][0].lower() not in _FALSE
    wanted = ""
    for term in fields.get("fieldSelector", [""])[0].split(","):
        field, equals, value = term.partition("=")
        if equals and field == "metadata.name":
            wanted = value.removeprefix("=")
    return ("watch" if watch else "list"), ("" if "/" in wanted or wanted in (".", "..") else wanted)
