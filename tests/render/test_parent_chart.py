"""A parent chart that depends on this chart runs its own pods as agents."""

from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, HelmError, Renderer
from agent_identities.chart.objects import Objects, thaw
from agent_identities.chart.pods import pod_specs
from agent_identities.chart.values import Values
from support import parent_chart
from support.kubeconform import Kubeconform
from support.refusals import problems

ROOT = 'dict "root" $ "agent" .Values.agent'
CALLER = """
apiVersion: v1
kind: ConfigMap
metadata: {name: caller}
data: {{ dict "pod" (include (printf "agent-identities.%s" .Values.part) (CALL)) | toJson }}
"""


@pytest.fixture(scope="module", params=["helm_4", "helm_3"])
def either_helm(request: pytest.FixtureRequest) -> Helm:
    helm: Helm = request.getfixturevalue(request.param)
    return helm


@pytest.fixture(scope="module")
def parent(either_helm: Helm, chart: Path, tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer(either_helm, parent_chart.build(either_helm, chart, tmp_path_factory.mktemp("parent")))


@pytest.fixture(scope="module")
def caller(helm_4: Helm, chart: Path, tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    """A parent chart that prints a template of this chart (``part``) for an agent."""
    templates = {"caller.yaml": CALLER.replace("CALL", ROOT)}
    return Renderer(helm_4, parent_chart.build(helm_4, chart, tmp_path_factory.mktemp("caller"), templates=templates))


def render(renderer: Renderer, **agents: Any) -> Objects:
    values = {"agent-identities": {"agents": agents}} if agents else {}
    return renderer.render(Values(overrides=values)).objects


def pods(objects: Objects) -> dict[str, dict[str, Any]]:
    """Workload -> the spec of its pods."""
    return {obj.name: thaw(spec) for obj, spec in pod_specs(objects)}


def test_the_parents_pods_have_the_volumes_and_settings_of_the_charts_own_pods(
    parent: Renderer, renderer: Renderer
) -> None:
    agent = {"token": {"expirationSeconds": 900}, "tokens": {"vault": {"audience": "v", "expirationSeconds": 900}}}
    ours = renderer.render(Values(overrides={"agents": {"a": agent | {"workload": {"image": "x:1"}}}})).objects
    (own,) = pods(ours).values()
    theirs = pods(render(parent, triage=agent))["triage-1"]
    for part, of_both in (
        ("volumes", (theirs, own)),
        ("volumeMounts", (theirs["containers"][0], own["containers"][0])),
    ):
        tokens = [[one for one in spec[part] if not one["name"].endswith("tmp")] for spec in of_both]
        assert tokens[0] == tokens[1] != []
    for field in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
        assert theirs[field] == own[field]
    assert theirs["automountServiceAccountToken"] is theirs["enableServiceLinks"] is False
    assert theirs["containers"][0]["securityContext"] == own["containers"][0]["securityContext"]


def test_the_parents_pods_have_the_ids_of_the_workload_defaults(parent: Renderer) -> None:
    values = {"agent-identities": {"workloadDefaults": {"runAsUser": "auto", "fsGroup": 7}}}
    for spec in pods(parent.render(Values(overrides=values)).objects).values():
        security = spec["securityContext"]
        assert {key for key in security if key.endswith(("User", "Group"))} == {"fsGroup"}
        assert security["runAsNonRoot"] is True


def test_volumes_of_a_parent_that_pod_security_refuses_are_refused(helm_4: Helm, chart: Path, tmp_path: Path) -> None:
    volumes = 'merge (dict "volumes" (list (dict "name" "h" "hostPath" (dict "path" "/"))))'
    templates = {"caller.yaml": CALLER.replace("(CALL)", f"({volumes} ({ROOT}))")}
    caller = Renderer(helm_4, parent_chart.build(helm_4, chart, tmp_path, templates=templates))
    assert caller.render(Values(overrides={"agent": "reporter", "part": "pod"})).objects
    with pytest.raises(HelmError, match=r"podSpec: volumes\[0\].hostPath is not a type"):
        caller.render(Values(overrides={"agent": "reporter", "part": "podSpec"}))


def test_a_call_without_the_context_of_the_parent_is_refused(helm_4: Helm, chart: Path, tmp_path: Path) -> None:
    templates = {"caller.yaml": CALLER.replace("CALL", "dict")}
    caller = Renderer(helm_4, parent_chart.build(helm_4, chart, tmp_path, templates=templates))
    with pytest.raises(HelmError, match=r'podSecurityContext: .*"root" \$'):
        caller.render(Values(overrides={"agent": "reporter", "part": "podSecurityContext"}))


def test_each_pod_has_the_service_account_and_the_label_of_its_agent(parent: Renderer) -> None:
    objects = render(parent)
    specs = pods(objects)
    assert {name: spec["serviceAccountName"] for name, spec in specs.items()} == {
        "triage-1": "triage-1",
        "triage-2": "triage-2",
        "reporter": "reporter",
    }
    for deployment in objects.of_kind("Deployment"):
        labels = deployment.body["spec"]["template"]["metadata"]["labels"]
        assert labels["agent-identities/agent"] == deployment.name
    for name in specs:
        assert objects.find("ServiceAccount", name) is not None


def test_every_document_is_valid_in_the_strict_schemas(parent: Renderer, kubeconform: Kubeconform) -> None:
    rendered = parent.render(Values())
    assert kubeconform.valid_documents(rendered.text) == len(rendered.objects) > 0


def test_the_parents_volumes_are_next_to_the_tokens(parent: Renderer) -> None:
    spec = pods(render(parent))["triage-1"]
    assert [volume["name"] for volume in spec["volumes"]] == ["agent-token", "agent-tokens", "tmp"]


def test_an_agent_with_an_automounted_token_adds_no_volume(parent: Renderer) -> None:
    spec = pods(render(parent, reporter={"token": {"mode": "automount"}, "tiers": []}))["reporter"]
    assert spec["automountServiceAccountToken"] is True
    assert not spec.get("volumes")


def test_the_pod_label_of_a_cloud_is_among_the_pod_labels(parent: Renderer) -> None:
    azure = {"clientId": "00000000-0000-0000-0000-000000000000"}
    objects = render(parent, triage={"cloud": {"azure": azure}})
    deployment = objects.find("Deployment", "triage-1")
    assert deployment is not None
    assert deployment.body["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_workloads_of_an_agent_in_quarantine_are_not_rendered_and_its_siblings_do_not_change(parent: Renderer) -> None:
    before = render(parent)
    after = render(parent, triage={"quarantined": [2]})
    assert pods(after).keys() == {"triage-1", "reporter"}
    assert pods(after)["triage-1"] == pods(before)["triage-1"]
    policy = after.find("NetworkPolicy", "triage-2")
    assert policy is not None


def test_the_call_can_name_an_alias_of_the_dependency(either_helm: Helm, chart: Path, tmp_path: Path) -> None:
    templates = {"caller.yaml": CALLER.replace("CALL", f'{ROOT} "chart" "fleet"')}
    aliased = parent_chart.build(either_helm, chart, tmp_path, alias="fleet", templates=templates)
    values: dict[str, Any] = {"agent": "a", "part": "pod", "fleet": {"agents": {"a": {}}}, "agent-identities": None}
    found = Renderer(either_helm, aliased).render(Values(overrides=values)).objects.find("ConfigMap", "caller")
    assert found is not None
    assert 'serviceAccountName: "a"' in found.body["data"]["pod"]


def test_enabled_and_global_of_a_parent_chart_are_accepted(parent: Renderer) -> None:
    values = {"agent-identities": {"enabled": True}, "global": {"region": "eu"}}
    assert parent.render(Values(overrides=values)).objects.find("ServiceAccount", "reporter") is not None


@pytest.mark.parametrize(
    ("agent", "agents", "names"),
    [
        ("nobody", {}, ('"nobody"', "reporter, triage-1, triage-2", "nobody: {}")),
        ("triage", {}, ('"triage"', "triage-1")),
        ("reporter", {"reporter": {"access": "proxied"}}, ('"reporter"', "access: direct")),
        (
            "reporter",
            {"reporter": {"quarantined": True}},
            ('"reporter"', 'include "agent-identities.runs" (dict "root" $ "agent" "reporter")'),
        ),
    ],
    ids=["unknown", "an entry of instances", "proxied", "quarantined"],
)
@pytest.mark.parametrize("part", ["pod", "podLabels", "podSpec", "podSecurityContext", "volumeMounts"])
def test_a_pod_of_an_unknown_or_proxied_or_quarantined_agent_is_refused(
    caller: Renderer, part: str, agent: str, agents: dict[str, Any], names: tuple[str, ...]
) -> None:
    good = caller.render(Values(overrides={"part": part, "agent": "reporter"})).objects
    assert good.find("ConfigMap", "caller") is not None
    with pytest.raises(HelmError) as error:
        caller.render(Values(overrides={"part": part, "agent": agent, "agent-identities": {"agents": agents}}))
    (problem,) = problems(str(error.value))
    assert problem.path == f"agent-identities.{part}"
    assert [name for name in names if name not in problem.text] == [], str(problem)


def test_the_error_names_a_missing_dependency(helm_4: Helm, chart: Path, tmp_path: Path) -> None:
    templates = {"caller.yaml": CALLER.replace("CALL", f'{ROOT} "chart" "fleet"')}
    astray = Renderer(helm_4, parent_chart.build(helm_4, chart, tmp_path, templates=templates))
    with pytest.raises(HelmError, match=r'"fleet".*: agent-identities'):
        astray.render(Values(overrides={"agent": "reporter", "part": "pod"}))
