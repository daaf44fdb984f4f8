"""Whether one rule allows one request.

The semantics of k8s.io/kubernetes pkg/apis/rbac/v1/evaluation_helpers.go, and of RuleAllows in
plugin/pkg/auth/authorizer/rbac.
"""

from agent_identities.rbac.model import PolicyRule
from agent_identities.rbac.request import Request

ALL = "*"


def verb_matches(rule: PolicyRule, verb: str) -> bool:
    """`*`, or equal."""
    return ALL in rule.verbs or verb in rule.verbs


def api_group_matches(rule: PolicyRule, api_group: str) -> bool:
    """`*`, or equal. The core group is the empty string."""
    return ALL in rule.api_groups or api_group in rule.api_groups


def resource_matches(rule: PolicyRule, resource: str, subresource: str) -> bool:
    """`*`, or equal to `resource[/subresource]`, or `*/subresource`.

    `pods/*` is not a wildcard, and `pods` does not match its subresources.
    """
    if ALL in rule.resources:
        return True
    if not subresource:
        return resource in rule.resources
    return f"{resource}/{subresource}" in rule.resources or f"*/{subresource}" in rule.resources


def resource_name_matches(rule: PolicyRule, name: str) -> bool:
    """The rule has no names, or one of them is equal. An empty name in the rule matches requests without a name."""
    return not rule.resource_names or name in rule.resource_names


def non_resource_url_matches(rule: PolicyRule, path: str) -> bool:
    """Equal, or a prefix followed by a trailing `*`."""
    return any(url_covers(url, path) for url in rule.non_resource_urls)


def url_covers(url: str, path: str) -> bool:
    """Whether a nonResourceURL, with or without a trailing `*`, matches `path`."""
    return url == path or (url.endswith(ALL) and path.startswith(url.rstrip(ALL)))


def rule_allows(rule: PolicyRule, request: Request) -> bool:
    """Whether `rule` allows `request`, without its binding."""
    return verb_matches(rule, request.verb) and rule_reaches(rule, request)


def rule_reaches(rule: PolicyRule, request: Request) -> bool:
    """Whether `rule` matches the object or path of `request`, without the verb."""
    if request.path:
        return non_resource_url_matches(rule, request.path)
    return (
        resource_matches(rule, request.resource, request.subresource)
        and api_group_matches(rule, request.api_group)
        and resource_name_matches(rule, request.name)
    )
