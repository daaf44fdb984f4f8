"""What Kubernetes itself grants every ServiceAccount, and the namespaces that every cluster has.

k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go.
"""

from collections.abc import Container

from agent_identities.rbac.model import PolicyRule

RESOURCES: tuple[PolicyRule, ...] = (
    PolicyRule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    PolicyRule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
    PolicyRule(("get", "list", "watch"), ("certificates.k8s.io",), ("clustertrustbundles",)),
)
"""By ClusterRole system:basic-user and, since Kubernetes 1.37, system:cluster-trust-bundle-discovery: the latter reads
public certificates, so it is not a finding on an older cluster either."""

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
"""By ClusterRoles system:discovery, system:public-info-viewer and system:service-account-issuer-discovery."""

EVERY_SERVICE_ACCOUNT: tuple[PolicyRule, ...] = (*RESOURCES, PUBLIC_URLS)
"""All rules that every ServiceAccount holds on every cluster."""

NAMESPACES = ("default", "kube-public", "kube-system", "kube-node-lease")
"""The namespaces that every cluster has."""

ABSENT_NAMESPACE = "kube-absent"
"""A namespace that no cluster has: the prefix kube- is reserved for Kubernetes itself."""


def ungranted_namespace(granted: Container[str]) -> str:
    """A namespace where none of these grants holds: one that every cluster has, else one that no cluster has.

    ``granted`` are the namespaces in which something is granted.
    """
    return next((name for name in NAMESPACES if name not in granted), ABSENT_NAMESPACE)
