"""The objects that the values declare, computed without Helm, are the objects that the chart renders."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from agent_identities.chart.helm import Renderer
from agent_identities.chart.objects import KubeObject, Objects, thaw
from agent_identities.declaration import Identity
from agent_identities.declared_objects import DeclaredObjects, declared_objects
from agent_identities.inventory.pod_fields import differences
from support.cases import Case, cases

VALID = [case for case in cases() if case.refusal is None and not case.files]

pytestmark = pytest.mark.parametrize("case", VALID, ids=str)


def rendered(case: Case, renderer: Renderer) -> Objects:
    return renderer.render(case.given, case.target).objects


def declared(case: Case) -> Iterator[tuple[Identity, DeclaredObjects]]:
    declaration = case.declaration
    return ((one, declared_objects(declaration, one)) for one in declaration.identities)


def by_name(objects: Objects, kind: str) -> Mapping[str, dict[str, Any]]:
    found: list[KubeObject] = list(objects.of_kind(kind))
    return {each.name: thaw(each.body) for each in found}


def test_the_service_accounts_are_the_rendered_ones(case: Case, renderer: Renderer) -> None:
    expected = {
        one.name: (dict(of.annotations), of.automount, list(of.pull_secrets))
        for one, of in declared(case)
        if of.created and not one.quarantined
    }
    found = {
        name: (
            account["metadata"].get("annotations") or {},
            account["automountServiceAccountToken"],
            [each["name"] for each in account.get("imagePullSecrets") or ()],
        )
        for name, account in by_name(rendered(case, renderer), "ServiceAccount").items()
    }
    assert found == expected


def test_the_deployments_are_the_rendered_ones(case: Case, renderer: Renderer) -> None:
    expected = {one.name: (of.containers, of.pod_labels) for one, of in declared(case) if of.containers is not None}
    found = {}
    for name, deployment in by_name(rendered(case, renderer), "Deployment").items():
        template = deployment["spec"]["template"]
        spec = template["spec"]
        every = [*(spec.get("initContainers") or ()), *spec["containers"]]
        found[name] = ({each["name"]: each["image"] for each in every}, template["metadata"]["labels"])
    assert found == expected


def test_the_pod_specs_are_the_rendered_ones(case: Case, renderer: Renderer) -> None:
    deployments = by_name(rendered(case, renderer), "Deployment")
    for one, of in declared(case):
        if of.pod_spec is not None:
            assert differences(deployments[one.name]["spec"]["template"]["spec"], of.pod_spec) == (), one.name


def test_the_deployments_mount_only_declared_tokens(case: Case, renderer: Renderer) -> None:
    deployments = by_name(rendered(case, renderer), "Deployment")
    for one, of in declared(case):
        if of.containers is None:
            continue
        spec = deployments[one.name]["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is of.injected
        for volume in spec.get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if token := source.get("serviceAccountToken"):
                    assert token["expirationSeconds"] <= of.lifetimes[token.get("audience", "")]


def test_the_network_policies_are_the_rendered_ones(case: Case, renderer: Renderer) -> None:
    expected = {
        one.name: {key: value for key, value in of.policy.items() if value}
        for one, of in declared(case)
        if of.policy is not None
    }
    found = {name: policy["spec"] for name, policy in by_name(rendered(case, renderer), "NetworkPolicy").items()}
    assert found == expected
