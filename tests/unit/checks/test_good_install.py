from collections.abc import Callable

from support.manifests import Manifest, good_install

Judge = Callable[[list[Manifest]], set[str]]


def test_a_good_install_has_no_finding(judge: Judge) -> None:
    assert judge(good_install()) == set()
