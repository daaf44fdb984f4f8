"""The binaries that the proofs require: helm, the Kubernetes control plane, etcd, kubeconform, helm-docs.

A binary of the user has priority (TEST_ASSET_*, KUBEBUILDER_ASSETS, PATH). Otherwise it is built once into the user's
cache, from the module that ci/toolchain pins. With DOWNLOAD=1, the official release is downloaded instead of built.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent_identities.errors import ToolchainError
from agent_identities.toolchain.pinned import DEFAULT_KUBERNETES, NAMES, Tool, component, kubernetes_minors

if TYPE_CHECKING:
    from agent_identities.toolchain.find import Found, locate, resolve
    from agent_identities.toolchain.links import link
    from agent_identities.toolchain.obtain import download_wanted, provide
    from agent_identities.toolchain.versions import check_helm_version

__all__ = [
    "DEFAULT_KUBERNETES",
    "NAMES",
    "Found",
    "Tool",
    "ToolchainError",
    "check_helm_version",
    "component",
    "download_wanted",
    "kubernetes_minors",
    "link",
    "locate",
    "provide",
    "resolve",
]

_LAZY = {
    "Found": "find",
    "check_helm_version": "versions",
    "download_wanted": "obtain",
    "link": "links",
    "locate": "find",
    "provide": "obtain",
    "resolve": "find",
}
"""The modules of the names that the help of a command does not need, since their imports are slow."""


def __getattr__(name: str) -> Any:  # any of the names above
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
