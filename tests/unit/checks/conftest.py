from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart.objects import Objects
from agent_identities.checks import registry as checks
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity
from support.manifests import NAMESPACE, VALUES, Manifest


@pytest.fixture
def judge(chart: Path) -> Callable[[list[Manifest]], set[str]]:
    """A function that returns the ids of the checks with an error."""

    def errors(manifests: list[Manifest]) -> set[str]:
        install = checks.Install(
            objects=Objects.from_manifests(manifests),
            declaration=declare(VALUES, namespace=NAMESPACE),
            catalogue=Catalogue.load(chart / "files" / "risk-catalogue.json"),
        )
        return {found.rule for found in checks.run(install) if found.severity is Severity.ERROR}

    return errors
