from pathlib import Path

from agent_identities.chart.objects import Objects
from agent_identities.chart.values import Values, load
from agent_identities.checks import registry as checks
from agent_identities.checks.null_entry import CHECK
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity


def test_a_null_that_removes_nothing_is_a_warning_with_its_line_and_what_to_write(tmp_path: Path, chart: Path) -> None:
    file = tmp_path / "v.yaml"
    file.write_text("agents:\n  triage:\n  summarizer:\n")
    install = checks.Install(
        objects=Objects.from_manifests([]),
        declaration=declare(load(chart, [file]), namespace="ns"),
        catalogue=Catalogue.load(chart / "files" / "risk-catalogue.json"),
        idle_nulls=Values.read([file]).idle_nulls,
    )
    first, second = CHECK.run(install)
    assert {first.severity, second.severity} == {Severity.WARNING}
    assert first.message.startswith(f"{file}:2:3: agents.triage is empty (null)")
    assert first.location is not None
    assert first.location.values == "agents.triage"
    assert "write: triage: {}" in first.remediation[0]
    assert "write: summarizer: {}" in second.remediation[0]
