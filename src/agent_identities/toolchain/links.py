"""Links to the binaries in one folder, so that a person can put it on PATH."""

from collections.abc import Iterable
from pathlib import Path

from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache
from agent_identities.toolchain.pinned import Tool


def link(tools: Iterable[Tool], folder: Path) -> None:
    """Make `folder` and, in it, a symbolic link for each tool, called by its name; older links are replaced.

    Raises ToolchainError: something that is no link stands where a link belongs, or the folder cannot be written.
    """
    with cache.writing(folder, "making links"):
        folder.mkdir(parents=True, exist_ok=True)
        for tool in tools:
            place = folder / tool.name
            if place.exists() and not place.is_symlink():
                raise ToolchainError(
                    f"{place}: not a link, so it is left alone. Move it away, or choose another folder."
                )
            fresh = folder / f".{tool.name}.link"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(tool.path)
            fresh.replace(place)
