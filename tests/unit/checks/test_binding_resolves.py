from collections.abc import Callable

from support.manifests import Manifest, binding, good_install, role, subject

Judge = Callable[[list[Manifest]], set[str]]


def test_a_binding_to_a_missing_role_is_found(judge: Judge) -> None:
    assert judge([*good_install(), binding("stray", subject("worker"), role="ghost")]) == {"binding-resolves"}


def test_a_binding_of_a_missing_account_is_found(judge: Judge) -> None:
    assert judge([*good_install(), binding("stray", subject("ghost"))]) == {"binding-resolves"}


def test_a_binding_without_subjects_is_found(judge: Judge) -> None:
    stray = binding("stray", subject("worker")) | {"subjects": []}
    assert judge([*good_install(), role("empty", []), stray]) == {"binding-resolves"}
