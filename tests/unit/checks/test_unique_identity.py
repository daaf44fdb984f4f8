from collections.abc import Callable

from support.manifests import Manifest, account, deployment, good_install, pod_spec

Judge = Callable[[list[Manifest]], set[str]]


def test_two_workloads_with_one_account_are_found(judge: Judge) -> None:
    assert judge([*good_install(), deployment("second", pod_spec("worker"))]) == {"unique-identity"}


def test_a_workload_with_an_undeclared_account_is_found(judge: Judge) -> None:
    assert judge([*good_install(), deployment("second", pod_spec("ghost"))]) == {"unique-identity"}


def test_an_account_that_no_agent_declares_is_found(judge: Judge) -> None:
    assert judge([*good_install(), account("stray")]) == {"unique-identity"}


def test_a_declared_agent_without_account_is_found(judge: Judge) -> None:
    missing = [obj for obj in good_install() if (obj["kind"], obj["metadata"]["name"]) != ("ServiceAccount", "idle")]
    assert judge(missing) == {"unique-identity"}


def test_an_account_with_the_label_of_another_agent_is_found(judge: Judge) -> None:
    objects = good_install()
    objects[1]["metadata"]["labels"]["agent-identities/agent"] = "idle"
    assert judge(objects) == {"unique-identity"}
