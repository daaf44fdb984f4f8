from collections.abc import Callable

import pytest

from agent_identities.checks.removable import lifecycle_effect
from support.manifests import Manifest, good_install

Judge = Callable[[list[Manifest]], set[str]]


@pytest.mark.parametrize("kind", ["ServiceAccount", "Role", "RoleBinding"])
@pytest.mark.parametrize("field", ["annotations", "labels"])
def test_only_this_check_finds_an_object_that_a_tool_keeps(judge: Judge, kind: str, field: str) -> None:
    install = good_install()
    kept = next(manifest for manifest in install if manifest["kind"] == kind)
    kept["metadata"][field] = {**kept["metadata"].get(field, {}), "kustomize.toolkit.fluxcd.io/prune": "disabled"}
    assert judge(install) == {"removable"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("helm.sh/chart", "agent-identities-1"),
        ("argocd.argoproj.io/sync-wave", "1"),
        ("argocd.argoproj.io/sync-options", "ServerSideApply=true,PruneLast=true"),
        ("kustomize.toolkit.fluxcd.io/prune", "enabled"),
        ("kustomize.toolkit.fluxcd.io/ssa", "Override"),
        ("example.com/hook", "x"),
        ("hook", "x"),
        ("eks.amazonaws.com/role-arn", "x"),
    ],
)
def test_other_annotations_are_no_finding(key: str, value: str) -> None:
    assert lifecycle_effect(key, value) is None
