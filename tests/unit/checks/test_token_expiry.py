from collections.abc import Callable

import pytest

from support.manifests import NAMESPACE, Manifest, deployment, good_install, pod_spec

Judge = Callable[[list[Manifest]], set[str]]


def with_token(seconds: int | None) -> list[Manifest]:
    objects = good_install()
    token = objects[-1]["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
    token.pop("expirationSeconds")
    token |= {} if seconds is None else {"expirationSeconds": seconds}
    return objects


@pytest.mark.parametrize("seconds", [None, 3607, 86401])
def test_a_projection_that_lives_too_long_is_found(judge: Judge, seconds: int | None) -> None:
    assert judge(with_token(seconds)) == {"token-expiry"}


@pytest.mark.parametrize("seconds", [600, 3606, 86400])
def test_a_short_projection_is_fine(judge: Judge, seconds: int) -> None:
    assert judge(with_token(seconds)) == set()


def test_an_account_that_automounts_is_found(judge: Judge) -> None:
    objects = good_install()
    del objects[1]["automountServiceAccountToken"]
    assert judge(objects) == {"token-expiry"}


def test_a_pod_that_automounts_is_found(judge: Judge) -> None:
    objects = good_install()
    objects[-1]["spec"]["template"]["spec"]["automountServiceAccountToken"] = True
    assert judge(objects) == {"token-expiry"}


def test_an_agent_whose_values_ask_for_automount_is_no_error(judge: Judge) -> None:
    objects = [*good_install(), deployment("old", {**pod_spec("old"), "automountServiceAccountToken": True})]
    objects[3]["automountServiceAccountToken"] = True
    assert judge(objects) == set()


def test_a_token_secret_is_found(judge: Judge) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": NAMESPACE}}
    assert judge([*good_install(), {**secret, "type": "kubernetes.io/service-account-token"}]) == {"token-expiry"}
