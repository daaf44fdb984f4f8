"""The binaries that the proofs run on: helm, the Kubernetes control plane, etcd, kubeconform, helm-docs.

Each is taken from where users keep theirs (TEST_ASSET_*, KUBEBUILDER_ASSETS, PATH), else built once into the user's
cache from the module that ci/toolchain pins; with DOWNLOAD=1, the projects' official releases are downloaded instead.
"""

from agent_identities.errors import ToolchainError
from agent_identities.toolchain.find import Found, locate, look
from agent_identities.toolchain.links import link
from agent_identities.toolchain.obtain import download_wanted, provide
from agent_identities.toolchain.pinned import DEFAULT_KUBERNETES, NAMES, Tool, component, kubernetes_minors
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
    "look",
    "provide",
]
