"""Where the chart and the pinned toolchain are: inside an installed wheel, or in the checkout it was installed from."""

from pathlib import Path

from agent_identities.errors import AgentIdentitiesError

_PACKAGED = Path(__file__).parent / "_data"
_CHECKOUT = Path(__file__).parents[2]


def _find(packaged: str, checkout: str) -> Path:
    for path in (_PACKAGED / packaged, _CHECKOUT / checkout):
        if path.is_dir():
            return path
    raise AgentIdentitiesError(
        f"{_PACKAGED / packaged}: missing from this installation of agent-identities. "
        "Install it again: pip install --force-reinstall agent-identities"
    )


def chart_path() -> Path:
    """The folder of the agent-identities chart."""
    return _find("chart", "charts/agent-identities")


def toolchain_path() -> Path:
    """The folder with one pinned go.mod and go.sum for each binary."""
    return _find("toolchain", "ci/toolchain")


def kind_path() -> Path:
    """The folder with the configuration of the kind cluster."""
    return _find("kind", "ci/kind")
