import pytest

from agent_identities.bundled import chart_path
from agent_identities.chart.objects import Objects
from agent_identities.checks import registry as checks
from agent_identities.checks import release_size
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue
from support.manifests import NAMESPACE, VALUES

MEBIBYTE = 1024 * 1024


def severities(size: int) -> list[str]:
    catalogue = Catalogue.load(chart_path() / "files" / "risk-catalogue.json")
    declaration = declare(VALUES, namespace=NAMESPACE)
    install = checks.Install(Objects(), declaration, catalogue, release_bytes=size)
    return [found.severity for found in release_size.CHECK.run(install)]


@pytest.mark.parametrize(
    ("size", "expected"), [(0, []), (MEBIBYTE * 8 // 10, []), (MEBIBYTE, ["warning"]), (MEBIBYTE + 1, ["error"])]
)
def test_a_release_that_is_too_large_for_a_secret_is_found(size: int, expected: list[str]) -> None:
    assert severities(size) == expected
