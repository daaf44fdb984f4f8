"""Tests of every values file of the repository: the examples in values/ and the test values in the chart's ci/."""

from pathlib import Path

import pytest

from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Renderer
from agent_identities.chart.objects import thaw
from agent_identities.chart.values import Values
from agent_identities.checks import registry as checks
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity
from support.cases import values_files

FILES = values_files()

pytestmark = pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)


def test_helm_3_and_helm_4_render_the_same_objects(file: Path, renderer: Renderer, renderer_3: Renderer) -> None:
    ours = renderer.render(Values.read([file])).objects
    theirs = renderer_3.render(Values.read([file])).objects
    assert {key: obj.body for key, obj in ours.items()} == {key: obj.body for key, obj in theirs.items()}


def test_the_same_values_render_the_same_bytes(file: Path, renderer: Renderer, helm_4: Helm, chart: Path) -> None:
    again = Renderer(helm_4, chart)
    assert again.render(Values.read([file])).text == renderer.render(Values.read([file])).text


def test_no_check_reports_an_error(file: Path, renderer: Renderer, chart: Path) -> None:
    install = checks.Install(
        objects=renderer.render(Values.read([file])).objects,
        declaration=declare(values.load(chart, [file]), namespace="agent-system"),
        catalogue=Catalogue.load(chart / "files" / "risk-catalogue.json"),
    )
    assert [found for found in checks.run(install) if found.severity is Severity.ERROR] == []


def test_helm_lint_reports_no_failure(file: Path, renderer: Renderer, chart: Path) -> None:
    assert "0 chart(s) failed" in renderer.helm.run("lint", "--strict", str(chart), f"--values={file}")


def test_values_are_merged_as_helm_merges_them(file: Path, renderer: Renderer, chart: Path, tmp_path: Path) -> None:
    """Compares with Helm: a chart with the same defaults and a template that completes and prints its values."""
    probe = tmp_path / "agent-identities"
    (probe / "templates").mkdir(parents=True)
    (probe / "Chart.yaml").write_text("{apiVersion: v2, name: agent-identities, version: 0.1.0}")
    (probe / "values.yaml").write_text((chart / "values.yaml").read_text())
    values_template = chart / "templates" / "_values.tpl"
    (probe / "templates" / "_values.tpl").write_text(values_template.read_text())
    (probe / "templates" / "v.yaml").write_text(
        '{{- include "agent-identities.completeValues" . }}'
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: v}\ndata: {{ .Values | toJson }}\n"
    )
    seen = next(iter(Renderer(renderer.helm, probe).render(Values.read([file])).objects.values())).body["data"]
    assert thaw(seen) == values.load(chart, [file])
