"""agent-identities check: judge what the chart renders, without a cluster."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class _Output(StrEnum):
    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(check)


def check(
    values: Annotated[list[Path], typer.Option("--values", "-f", help="Values file; may be repeated, later ones win.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")] = "agent-system",
    release: Annotated[str, typer.Option(help="Name of the release.")] = "agents",
    chart: Annotated[Path | None, typer.Option(help="The chart; absent: the one in this package.")] = None,
    kube_version: Annotated[str, typer.Option(help="Kubernetes version to render for.")] = "1.36.0",
    output: Annotated[_Output, typer.Option("--output", "-o", help="How findings are printed.")] = _Output.TEXT,
) -> None:
    """Render the chart with your values and check the promises that a cluster is not needed for.

    No ServiceAccount `default`, one identity an agent, short-lived tokens, no wildcard, no critical rule, bindings that
    resolve, and for every agent exactly the rules of its tiers. Exit status: 0 clean, 1 findings, 2 could not run.
    """
    from concurrent.futures import ThreadPoolExecutor

    from agent_identities import bundled
    from agent_identities.chart.helm import Helm, Target, Values
    from agent_identities.toolchain import provide

    chart = chart or bundled.chart_path()
    tool = provide(["helm"])["helm"]
    target = Target(release, namespace, kube_version)
    with ThreadPoolExecutor(1) as beside:  # Helm renders while Python loads the rest and reads the values itself
        rendering = beside.submit(Helm(tool.path, tool.version).template, chart, Values(tuple(values)), target)

        from agent_identities import checks
        from agent_identities.chart import values as values_files
        from agent_identities.chart.objects import Objects
        from agent_identities.chart.release_record import record_size
        from agent_identities.checks import report
        from agent_identities.declaration import declare
        from agent_identities.rbac import Catalogue

        merged = values_files.load(chart, values)
        declaration = declare(merged, namespace=namespace, kube_version=kube_version)
        given = values_files.given(values)
        catalogue = Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")
        manifest = rendering.result()
        size = beside.submit(
            record_size, chart, manifest, given
        )  # mostly compression, which leaves the other core free
        install = checks.Install(Objects.from_yaml(manifest), declaration, catalogue, size.result())
    found = checks.run(install)
    if output is _Output.JSON:
        report.print_json(install, found)
    else:
        report.print_text(install, found)
    if any(finding.severity is checks.Severity.ERROR for finding in found):
        raise typer.Exit(1)
