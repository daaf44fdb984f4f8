"""Fixtures: the schemas for kubeconform, and the judge of the invariants."""

import json
from importlib import resources
from pathlib import Path

import pytest

from agent_identities.toolchain import provide
from mutation.judge import Judge
from render_worker import RenderWorker, WorkerRenderer
from support import cilium
from support.cases import cases
from support.kubeconform import KUBERNETES, Kubeconform


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strict JSON schemas of the API, in the layout of kubeconform's default location."""
    packaged = Path(str(resources.files("kubernetes_validate"))) / "kubernetes-json-schema"
    folder = tmp_path_factory.mktemp("schemas") / f"v{KUBERNETES}-standalone-strict"
    folder.mkdir()
    for path in (packaged / f"v{KUBERNETES}-local-strict").glob("*.json"):
        schema = json.loads(path.read_text().replace("/api/_definitions.json", "_definitions.json"))
        schema.pop("$id", None)
        (folder / path.name).write_text(json.dumps(schema))
    (folder / "ciliumnetworkpolicy-cilium-v2.json").write_text(json.dumps(cilium.strict_schema()))
    return folder.parent


@pytest.fixture(scope="session")
def kubeconform(schemas: Path) -> Kubeconform:
    return Kubeconform(provide(["kubeconform"])["kubeconform"].path, schemas)


@pytest.fixture(scope="session")
def judge(chart: Path, render_worker: RenderWorker) -> Judge:
    """Checks the chart, and mutants of the chart, against the invariants."""
    return Judge(WorkerRenderer(render_worker, chart), cases())
