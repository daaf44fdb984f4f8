"""The rules that Kubernetes grants to every ServiceAccount, and the namespaces that every cluster has.

k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go.
"""

from collections.abc import Container

from agent_identities.rbac.model import Binding, PolicyRule, Subject

RESOURCES: tuple[PolicyRule, ...] = (
    PolicyRule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    PolicyRule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
    PolicyRule(("get", "list", "watch"), ("certificates.k8s.io",), ("clustertrustbundles",)),
)
"""From ClusterRole system:basic-user and, since Kubernetes 1.37, system:cluster-trust-bundle-discovery. The latter
allows to read public certificates, so it is not a finding on older clusters."""

PUBLIC_URLS = PolicyRule(
    ("get",),
    non_resource_urls=(
        *("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"),
        *("/healthz", "/livez", "/readyz"),
        *(
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ),
    ),
)
"""From ClusterRoles system:discovery, system:public-info-viewer and system:service-account-issuer-discovery."""

EVERY_SERVICE_ACCOUNT: tuple[PolicyRule, ...] = (*RESOURCES, PUBLIC_URLS)
"""All rules that every ServiceAccount has on every cluster."""

NAMESPACES = ("default", "kube-public", "kube-system", "kube-node-lease")
"""The namespaces that every cluster has."""

ABSENT_NAMESPACE = "kube-absent"
"""A namespace that no cluster has. The prefix kube- is reserved for Kubernetes."""

_SERVICE_ACCOUNTS = "system:serviceaccount"
_CONTROLLERS = "kube-system"


def of_kubernetes(binding: Binding) -> bool:
    """Whether Kubernetes makes the binding: it has the name of its role, and a name that is reserved for Kubernetes."""
    reserved = binding.name.startswith("system:") or binding.name == "cluster-admin"
    return reserved and binding.name == binding.role_ref.name


def gives_by_default(binding: Binding, subject: Subject) -> bool:
    """Whether the subject is in a binding of Kubernetes by default: rights beyond come from a changed role."""
    if not of_kubernetes(binding):
        return False
    if subject.kind == "ServiceAccount":
        return subject.namespace == _CONTROLLERS
    issuer = binding.name == "system:service-account-issuer-discovery"
    return subject.name.startswith("system:") and (issuer or not subject.name.startswith(_SERVICE_ACCOUNTS))


def ungranted_namespace(granted: Container[str]) -> str:
    """A namespace without a grant: if possible a namespace that every cluster has, else one that no cluster has.

    ``granted`` are the namespaces of the grants.
    """
    return next((name for name in NAMESPACES if name not in granted), ABSENT_NAMESPACE)
