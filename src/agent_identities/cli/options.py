"""The options that several commands have."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from agent_identities.cluster import KINDS
from agent_identities.report import format_names


def _one_of(choices: Sequence[str]) -> Callable[[str | None], str | None]:
    """A callback for an option with these values."""

    def known(given: str | None) -> str | None:
        if given is not None and given not in choices:
            raise typer.BadParameter(f"{given!r} is not one of {', '.join(choices)}.")
        return given

    return known


def output_option(help_text: str, *more: str) -> typer.models.OptionInfo:
    """--output: the formats of report/formats, and ``more`` formats of the command."""
    choices = (*format_names(), *more)
    option: typer.models.OptionInfo = typer.Option(
        "--output", "-o", help=help_text, metavar=f"[{'|'.join(choices)}]", callback=_one_of(choices)
    )
    return option


ValuesFiles = Annotated[
    list[Path],
    typer.Option(
        "--values", "-f", metavar="FILE", help="Values file. May be repeated: later files override earlier ones."
    ),
]


def _namespace(given: str) -> str:
    """Validate an option while the command line is parsed, before the kubeconfig and the values are read."""
    from agent_identities.chart.arguments import check_namespace

    check_namespace(given)
    return given


Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="Namespace of the agents, or of the release, if namespaceOverride is in the values or on the cluster.",
        callback=_namespace,
    ),
]
Release = Annotated[str, typer.Option(metavar="NAME", help="Name of the release.")]
Chart = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The chart. Default: the chart in this package.", show_default=False)
]
Kubeconfig = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Kubeconfig of the cluster.", dir_okay=False, show_default=False)
]
Context = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Context of the kubeconfig. Default: its current context.", show_default=False),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar=f"[{'|'.join(KINDS)}]",
        callback=_one_of(KINDS),
        help="kubeconfig: an existing cluster with the release installed. embedded, kind: a cluster that is created "
        "for this run and removed after it. Default: the cluster that kubectl would use, else embedded.",
        show_default=False,
    ),
]
Kubernetes = Annotated[
    str | None,
    typer.Option(
        metavar="MINOR", help="Kubernetes minor of a cluster that is created: 1.34 to 1.37.", show_default=False
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 if something could not be read, and therefore not looked for.")
]
Concurrency = Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Requests in flight.")]
Output = Annotated[str, output_option("Format of the report.")]
Agent = Annotated[
    list[str] | None,
    typer.Option(
        "--agent",
        metavar="NAME",
        help="Only this agent, or this entry of the values. May be repeated.",
        show_default=False,
    ),
]
_logs = typer.Argument(
    metavar="LOG...",
    help="Audit logs of the API server, or directories of them, in any form that docs/trace.md names. - is stdin.",
    show_default=False,
)
Logs = Annotated[list[str], _logs]
LogsOrNone = Annotated[list[str] | None, _logs]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only requests from this time on: 2026-11-24T03:46:08Z, or 30m, 24h, 7d ago.",
        show_default=False,
    ),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only requests before this time.", show_default=False)]
