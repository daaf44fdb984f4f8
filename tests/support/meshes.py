"""Pods of an agent in the shape that the injector of each service mesh makes of them.

The volume, the mount and the container are those of the injection templates: see templates/_mesh.tpl of the chart.
"""

from typing import Any, Final

from support.guarded import pod
from support.server import Json


def injected(account: str, volume: str, container: str, path: str, *, file: str, **token: Any) -> Json:
    """A pod of the agent with the chart's token volume, and what an injector adds."""
    own = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    mesh = {"serviceAccountToken": {"path": file, **token}}
    mount = {"name": volume, "mountPath": path, "readOnly": True}
    sidecar = {"name": container, "image": "registry.example/proxy:1", "volumeMounts": [mount]}
    made = pod(
        account,
        automountServiceAccountToken=False,
        volumes=[
            {"name": "agent-token", "projected": {"sources": [own]}},
            {"name": volume, "projected": {"sources": [mesh]}},
        ],
    )
    made["spec"]["containers"].append(sidecar)
    return made


def istio(account: str, **token: Any) -> Json:
    token = {"audience": "istio-ca", "expirationSeconds": 43200} | token
    return injected(account, "istio-token", "istio-proxy", "/var/run/secrets/tokens", file="istio-token", **token)


def linkerd(account: str, **token: Any) -> Json:
    name = "linkerd-identity-token"
    token = {"audience": "identity.l5d.io", "expirationSeconds": 86400} | token
    return injected(account, name, "linkerd-proxy", "/var/run/secrets/tokens", file=name, **token)


def dapr(account: str, **token: Any) -> Json:
    token = {"audience": "dapr.io/sentry", "expirationSeconds": 7200} | token
    return injected(
        account, "dapr-identity-token", "daprd", "/var/run/secrets/dapr.io/sentrytoken", file="token", **token
    )


SHAPES: Final = {"istio": istio, "linkerd": linkerd, "dapr": dapr}
