"""The part of Cilium's API that the chart uses, as a CustomResourceDefinition and as a JSON schema.

Written from the definition of ciliumnetworkpolicies.cilium.io in github.com/cilium/cilium v1.18.3,
pkg/k8s/apis/cilium.io/client/crds/v2, with its names, types, patterns and limits, for the fields of an egress rule that
the chart renders. It is stricter: other fields are refused in a strict request. No Cilium runs here.
"""

from typing import Any, Final

from support.server import Server, eventually

Json = dict[str, Any]
GROUP: Final = "cilium.io"
NAME: Final = "ciliumnetworkpolicies.cilium.io"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def _of(properties: Json, *required: str, **more: Any) -> Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {}), **more}


def _list(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


_TEXT: Final[Json] = {"type": "string"}
_SELECTOR: Final = _of(
    {
        "matchLabels": {
            "type": "object",
            "additionalProperties": {
                "type": "string",
                "maxLength": 63,
                "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
            },
        }
    }
)
_NAMES: Final = _list(
    _of(
        {
            "matchName": {"type": "string", "maxLength": 255, "pattern": "^([-a-zA-Z0-9_]+[.]?)+$"},
            "matchPattern": {"type": "string", "maxLength": 255, "pattern": "^([-a-zA-Z0-9_*]+[.]?)+$"},
        },
        oneOf=[{"required": ["matchName"]}, {"required": ["matchPattern"]}],
    )
)
_PORT_NUMBER: Final = (
    "^(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})"
    "|([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*$"
)
_PORT: Final = _of(
    {
        "port": {
            "type": "string",
            "pattern": _PORT_NUMBER,
        },
        "endPort": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 65535},
        "protocol": {"type": "string", "enum": ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "ANY"]},
    },
    "port",
)
_PORTS: Final = _list(_of({"ports": _list(_PORT, maxItems=40), "rules": _of({"dns": _NAMES})}))
_ENTITIES: Final = (
    *("all", "world", "cluster", "host", "init", "ingress", "unmanaged", "remote-node", "health", "none"),
    "kube-apiserver",
)
_EGRESS: Final = _of(
    {
        "toEndpoints": _list(_SELECTOR),
        "toCIDR": _list({"type": "string", "format": "cidr"}),
        "toEntities": _list({"type": "string", "enum": list(_ENTITIES)}),
        "toFQDNs": _NAMES,
        "toPorts": _PORTS,
    }
)
_SPEC: Final = _of({"endpointSelector": _SELECTOR, "egress": _list(_EGRESS)})
_WHOLE: Final = _of({"apiVersion": _TEXT, "kind": _TEXT, "metadata": {"type": "object"}, "spec": _SPEC}, "metadata")


def definition() -> Json:
    """The CustomResourceDefinition."""
    names = {
        "kind": "CiliumNetworkPolicy",
        "listKind": "CiliumNetworkPolicyList",
        "plural": "ciliumnetworkpolicies",
        "singular": "ciliumnetworkpolicy",
    }
    version = {"name": "v2", "served": True, "storage": True, "schema": {"openAPIV3Schema": _WHOLE}}
    spec = {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]}
    return {"metadata": {"name": NAME}, "spec": spec}


def strict_schema() -> Json:
    """The JSON schema, without fields that it does not name, for kubeconform."""
    closed: Json = _closed(_WHOLE)
    return closed


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _closed(value) for key, value in node.items() if key != "format"}
    if "properties" in node:
        found["additionalProperties"] = False
    return found


def define(server: Server) -> None:
    """Makes an API server serve CiliumNetworkPolicies, and waits until it does. It may do so already."""
    status, answer = server.request("POST", _DEFINITIONS, definition())
    assert status in (201, 409), answer
    eventually(lambda: is_served(server))


def is_served(server: Server) -> bool:
    """Whether the resource can be listed: until then, the answer is not JSON."""
    url = f"{server.client.url}/apis/{GROUP}/v2/ciliumnetworkpolicies"
    status: int = server.client.session.get(url, timeout=30).status_code
    return status == 200
