import pytest

from agent_identities.rbac import PolicyRule, covers


def rule(verbs: str, resources: str, groups: str = "", names: str | None = None) -> PolicyRule:
    """A rule from comma-separated lists. With `names` None, it has no resource names."""
    resource_names = () if names is None else tuple(names.split(","))
    return PolicyRule(tuple(verbs.split(",")), tuple(groups.split(",")), tuple(resources.split(",")), resource_names)


def urls(verbs: str, *paths: str) -> PolicyRule:
    return PolicyRule(tuple(verbs.split(",")), non_resource_urls=paths)


@pytest.mark.parametrize(
    ("owner", "servant"),
    [
        (rule("get,list", "pods,services"), rule("list", "services")),
        (rule("*", "*", "*"), rule("impersonate:serviceaccount", "serviceaccounts", "authentication.k8s.io")),
        (rule("*", "*", "*"), rule("*", "*", "*")),
        (rule("get", "*/log"), rule("get", "pods/log")),
        (rule("get", "*/log"), rule("get", "*/log")),
        (rule("get", "pods/*"), rule("get", "pods/*")),
        (rule("get", "secrets"), rule("get", "secrets", names="a")),
        (rule("get", "secrets", names="a,b"), rule("get", "secrets", names="b")),
        (urls("get", "/healthz/*"), urls("get", "/healthz/etcd")),
        (urls("get", "*"), urls("get", "*", "/metrics")),
    ],
)
def test_an_owner_rule_covers_a_narrower_rule(owner: PolicyRule, servant: PolicyRule) -> None:
    assert covers([owner], [servant]) == ()


@pytest.mark.parametrize(
    ("owner", "servant"),
    [
        (rule("get", "pods"), rule("*", "pods")),
        (rule("get", "pods"), rule("get", "*")),
        (rule("get", "pods"), rule("get", "pods", "*")),
        (rule("get", "pods"), rule("get", "pods/log")),
        (rule("get", "pods/*"), rule("get", "pods/log")),
        (rule("get", "pods/log"), rule("get", "*/log")),
        (rule("get", "*/"), rule("get", "pods")),
        (rule("get", "secrets", names="a"), rule("get", "secrets")),
        (rule("get", "secrets", names="a"), rule("get", "secrets", names="b")),
        (urls("get", "/healthz/*"), urls("get", "/healthz")),
        (urls("get", "/healthz/*"), urls("get", "*")),
        (rule("*", "*", "*"), urls("get", "/metrics")),
        (urls("*", "*"), rule("get", "pods")),
    ],
)
def test_an_owner_rule_does_not_cover_another_rule(owner: PolicyRule, servant: PolicyRule) -> None:
    assert covers([owner], [servant]) == (servant,)


def test_two_rules_together_cover_the_atoms_of_one_rule() -> None:
    assert covers([rule("get", "pods"), rule("list", "pods")], [rule("get,list", "pods")]) == ()


def test_two_rules_do_not_cover_an_atom_that_neither_covers_alone() -> None:
    crossed = [rule("get", "pods"), rule("list", "secrets")]
    assert covers(crossed, [rule("get", "secrets")]) == (rule("get", "secrets"),)


def test_only_the_missing_atoms_are_returned() -> None:
    missing = covers([rule("get", "pods")], [rule("get,delete", "pods,secrets", names="a")])
    assert set(missing) == {
        rule("delete", "pods", names="a"),
        rule("get", "secrets", names="a"),
        rule("delete", "secrets", names="a"),
    }


def test_no_rules_cover_only_no_rules() -> None:
    assert (covers([], [rule("get", "pods")]), covers([], [])) == ((rule("get", "pods"),), ())
