"""`agent-identities toolchain`: provide the binaries that commands and tests use, and print their paths."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_identities.toolchain import DEFAULT_KUBERNETES, NAMES, component

if TYPE_CHECKING:
    from agent_identities.toolchain import Found


def toolchain(
    kubernetes: Annotated[
        str,
        typer.Option(metavar="MINOR", help="Kubernetes minor of kube-apiserver, kube-controller-manager and kubectl."),
    ] = DEFAULT_KUBERNETES,
    *,
    links: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also create links in this directory, for PATH.", file_okay=False),
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Only list the binaries and their origins; build nothing.")
    ] = False,
) -> None:
    """Provide helm (4 and 3), helm-docs, the Kubernetes control plane, etcd and kubeconform; build missing binaries.

    The command searches TEST_ASSET_<NAME>, KUBEBUILDER_ASSETS and PATH, then builds into your cache (about 8 minutes
    for all binaries on 2 cores). With DOWNLOAD=1, it downloads the official releases instead. The row `helm` is the
    binary of check, verify and attack: the first Helm 4, or Helm 3.18 or newer, in the search order.
    """
    from agent_identities.toolchain import link, provide, resolve

    if only_list:
        _print([_planned(resolve(name, kubernetes), kubernetes) for name in NAMES])
        return
    tools = provide(NAMES, kubernetes=kubernetes)
    _print([(tool.name, tool.version, tool.origin, str(tool.path)) for tool in tools.values()])
    if links:
        link(tools.values(), links)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("toolchain", short_help="Provide the binaries: helm, etcd, kube-apiserver.")(toolchain)


def _planned(found: "Found", kubernetes: str) -> tuple[str, str, str, str]:
    from agent_identities.toolchain import download_wanted

    reasons = "".join(f"\nnot {reason}" for reason in found.skipped)
    if found.tool:
        return found.tool.name, found.tool.version, found.tool.origin, f"{found.tool.path}{reasons}"
    coming = "to be downloaded" if download_wanted() else "to be built"
    return found.name, component(found.name, kubernetes).version, coming, reasons.lstrip("\n")


def _print(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(cell.replace("\n", "; ") for cell in row))
        return
    table = Table("name", "version", "origin", Column("path", overflow="fold"), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))  # a path is not markup
    console.print(table)
