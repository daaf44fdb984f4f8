"""Links to the binaries in one folder, which a user can add to PATH."""

from collections.abc import Iterable
from pathlib import Path

from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache
from agent_identities.toolchain.pinned import Tool


def link(tools: Iterable[Tool], folder: Path) -> None:
    """Create `folder` with a symbolic link for each tool, called by the name of the tool. Existing links are replaced.

    Raises ToolchainError: the path of a link is a file or folder, or `folder` is not writable.
    """
    with cache.writing(folder, "creating links"):
        folder.mkdir(parents=True, exist_ok=True)
        for tool in tools:
            path = folder / tool.name
            if path.exists() and not path.is_symlink():
                raise ToolchainError(
                    f"{path}: not a symbolic link, and so not replaced. Move it, or choose another folder."
                )
            temporary = folder / f".{tool.name}.link"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(tool.path)
            temporary.replace(path)
