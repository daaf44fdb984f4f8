from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart.objects import Objects
from agent_identities.checks import registry as checks
from agent_identities.checks.token_expiry import CHECK
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity
from support.manifests import NAMESPACE, VALUES, Manifest, deployment, good_install, pod_spec

Judge = Callable[[list[Manifest]], set[str]]


def with_token(seconds: int | None) -> list[Manifest]:
    objects = good_install()
    token = objects[-1]["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
    token.pop("expirationSeconds")
    token |= {} if seconds is None else {"expirationSeconds": seconds}
    return objects


@pytest.mark.parametrize("seconds", [None, 3607, 86401])
def test_a_projected_token_with_a_long_lifetime_is_found(judge: Judge, seconds: int | None) -> None:
    assert judge(with_token(seconds)) == {"token-expiry"}


@pytest.mark.parametrize("seconds", [600, 3606, 86400])
def test_a_projected_token_with_a_short_lifetime_is_accepted(judge: Judge, seconds: int) -> None:
    assert judge(with_token(seconds)) == set()


def test_an_account_with_automount_is_found(judge: Judge) -> None:
    objects = good_install()
    del objects[1]["automountServiceAccountToken"]
    assert judge(objects) == {"token-expiry"}


def test_a_pod_with_automount_is_found(judge: Judge) -> None:
    objects = good_install()
    objects[-1]["spec"]["template"]["spec"]["automountServiceAccountToken"] = True
    assert judge(objects) == {"token-expiry"}


def test_automount_that_the_values_declare_is_accepted(judge: Judge) -> None:
    objects = [*good_install(), deployment("old", {**pod_spec("old"), "automountServiceAccountToken": True})]
    objects[3]["automountServiceAccountToken"] = True
    assert judge(objects) == set()


def test_the_finding_for_automount_says_what_the_pod_gets(chart: Path) -> None:
    objects = [*good_install(), deployment("old", {**pod_spec("old"), "automountServiceAccountToken": True})]
    install = checks.Install(
        objects=Objects.from_manifests(objects),
        declaration=declare(VALUES, namespace=NAMESPACE),
        catalogue=Catalogue.load(chart / "files" / "risk-catalogue.json"),
    )
    (found,) = CHECK.run(install)
    assert found.severity is Severity.WARNING
    for words in ("token for the API server", "every container", "a year", "shortTokens", "declared"):
        assert words in found.message
    assert found.remediation == ("Set agents.old.token.mode: projected.",)


def test_a_token_secret_is_found(judge: Judge) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": NAMESPACE}}
    assert judge([*good_install(), {**secret, "type": "kubernetes.io/service-account-token"}]) == {"token-expiry"}
