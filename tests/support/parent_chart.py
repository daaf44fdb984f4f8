"""The example parent chart of ci/, with our chart as its dependency, as `helm dependency update` puts it there."""

import shutil
from pathlib import Path

from agent_identities.chart.helm import Helm

DEPENDENCY = "  - name: agent-identities\n"


def build(helm: Helm, chart: Path, folder: Path, *, alias: str = "", templates: dict[str, str] | None = None) -> Path:
    """The parent chart in a copy under ``folder``; ``templates`` (name -> text) replace its own templates."""
    copy = folder / chart.name
    shutil.copytree(chart, copy)
    parent = copy / "ci" / "parent-chart"
    if alias:
        described = (parent / "Chart.yaml").read_text()
        assert DEPENDENCY in described
        (parent / "Chart.yaml").write_text(described.replace(DEPENDENCY, f"{DEPENDENCY}    alias: {alias}\n"))
    if templates is not None:
        shutil.rmtree(parent / "templates")
        (parent / "templates").mkdir()
        for name, text in templates.items():
            (parent / "templates" / name).write_text(text)
    helm.run("dependency", "update", str(parent), "--skip-refresh")
    return parent
