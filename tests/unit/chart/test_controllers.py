"""The catalogue of controllers: its data, its tables in the docs, and the deployers that the package reads from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_identities.bundled import chart_path
from agent_identities.chart.controllers import deployers
from support import controllers_table

Json = dict[str, Any]
LEAVES = {"account", "reference", "any"}


@pytest.fixture(scope="module")
def catalogue() -> Json:
    found: Json = json.loads((chart_path() / "files" / "controllers.json").read_text())
    return found


def kinds(catalogue: Json) -> list[Json]:
    return [kind for controller in catalogue["controllers"].values() for kind in controller["kinds"]]


@pytest.mark.parametrize("table", ["controllers", "paths", "shapes"])
def test_the_docs_have_the_tables_of_the_catalogue(catalogue: Json, table: str) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "controllers.md").read_text().splitlines()
    expected = getattr(controllers_table, table)(catalogue)
    start = docs.index(expected[0])
    found = docs[start : docs.index("", start)]
    assert found == expected, "write into docs/controllers.md:\n" + "\n".join(expected)


def test_every_path_contains_a_leaf_or_a_shape(catalogue: Json) -> None:
    shapes = catalogue["shapes"]
    found = [what for kind in kinds(catalogue) for what in kind["paths"].values()]
    found += [what for below in shapes.values() for what in below.values()]
    assert {what for what in found if isinstance(what, str)} - LEAVES == shapes.keys()
    assert all(what.keys() == {"anyUnless"} for what in found if isinstance(what, dict))


def test_every_path_outside_of_the_specification_is_in_a_kept_field(catalogue: Json) -> None:
    for kind in kinds(catalogue):
        paths = [path for path in kind["paths"] if path.split(".")[0].rstrip("!") != "spec"]
        fields = kind.get("kept", [])
        assert all(any(path.startswith(field) for field in fields) for path in paths), kind["kind"]
        assert all(any(path.startswith(field) for path in paths) for field in fields), kind["kind"]


def test_a_resource_is_in_one_controller(catalogue: Json) -> None:
    resources = [(kind["group"], kind["resource"]) for kind in kinds(catalogue)]
    assert len(set(resources)) == len(resources)
    accounts = [tuple(one.values()) for each in catalogue["controllers"].values() for one in each["accounts"]]
    assert len(set(accounts)) == len(accounts)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("argo-workflows", [("argo", "argo")]),
        ("kubeflow-pipelines", [("kubeflow", "ml-pipeline"), ("kubeflow", "ml-pipeline-scheduledworkflow")]),
        ({"name": "keda", "namespace": "scaling"}, [("scaling", "keda-operator")]),
        ({"name": "kubeflow-pipelines", "serviceAccount": "runs"}, [("kubeflow", "runs")]),
        ({"name": "unknown"}, []),
    ],
)
def test_a_controller_is_a_deployer_by_its_accounts(given: Any, expected: list[tuple[str, str]]) -> None:
    found = list(deployers({"guards": {"controllers": [given]}}))
    assert [(one["kind"], one["namespace"], one["name"]) for one in found] == [
        ("ServiceAccount", *one) for one in expected
    ]


def test_a_controller_has_the_agents_of_its_entry() -> None:
    item = {"name": "keda", "agents": ["a"], "bindAgents": True, "defaultAccount": "a"}
    user = {"kind": "User", "name": "u"}
    given, found = deployers({"guards": {"deployers": [user], "controllers": [item]}})
    assert given == user
    assert found == {
        "kind": "ServiceAccount",
        "namespace": "keda",
        "name": "keda-operator",
        "agents": ["a"],
        "bindAgents": True,
    }
