"""The agents of a release: a chart, its values, and the name and namespace of the release."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_identities import bundled
from agent_identities.chart.arguments import check_chart, check_kube_version, check_namespace, check_release
from agent_identities.chart.helm import DEFAULT_KUBERNETES_VERSION, Target
from agent_identities.chart.names import DEFAULT_NAMESPACE, DEFAULT_RELEASE
from agent_identities.chart.values import Values
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.declaration import Declaration, Identity
    from agent_identities.rbac import Catalogue


@dataclass(frozen=True)
class Agents:
    """The input of `helm install RELEASE CHART -n NAMESPACE -f ...`, and the agents that it declares.

    ``files`` are values files, ``-`` is stdin; later files override earlier files, and ``overrides`` override all
    files. Each file is read once, at the first use of `given` or `values`, which raise ValuesError or YamlError. Raises
    ArgumentError for a name that Helm or Kubernetes refuses. Iterating yields the agents that are not quarantined.
    """

    files: tuple[Path, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    chart: Path = field(default_factory=bundled.chart_path)
    release: str = DEFAULT_RELEASE
    namespace: str = DEFAULT_NAMESPACE
    kube_version: str = DEFAULT_KUBERNETES_VERSION

    def __post_init__(self) -> None:
        check_release(self.release)
        check_namespace(self.namespace)
        check_kube_version(self.kube_version)
        check_chart(self.chart)

    @cached_property
    def given(self) -> Values:
        """The values as the input of Helm: the files are read, but not parsed yet."""
        return Values.read(self.files, self.overrides)

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """The values merged with the chart's defaults, validated against the chart's schema."""
        return self.given.merged(self.chart)

    @cached_property
    def declaration(self) -> "Declaration":
        """The declaration of the values, for an API server of ``kube_version``."""
        return self.declared_for(self.kube_version)

    def declared_for(self, kube_version: str) -> "Declaration":
        """The declaration for an API server of another version: the proxy's impersonation depends on the version."""
        from agent_identities.declaration import declare  # not above: `check` starts Helm before the import

        return declare(self.values, namespace=self.namespace, kube_version=kube_version)

    def located(self, namespace: str, agents_namespace: str) -> "Agents":
        """The same agents, of a release in ``namespace`` with its agents in ``agents_namespace``. Reads no file."""
        if (self.namespace, self.declaration.namespace) == (namespace, agents_namespace):
            return self
        overrides = {**self.overrides, "namespaceOverride": agents_namespace}
        moved = replace(self, namespace=namespace, overrides=overrides)
        moved.__dict__["given"] = replace(self.given, overrides=overrides)  # stdin can be read only once
        return moved

    @cached_property
    def catalogue(self) -> "Catalogue":
        """The chart's risk catalogue. Raises CatalogueError."""
        from agent_identities.rbac import Catalogue

        return Catalogue.load(self.chart / "files" / "risk-catalogue.json")

    @property
    def target(self) -> Target:
        """The release, its namespace and the Kubernetes version to render for."""
        return Target(self.release, self.namespace, self.kube_version)

    def __iter__(self) -> "Iterator[Identity]":
        return iter(self.declaration.agents)

    def __len__(self) -> int:
        return len(self.declaration.agents)

    def __getitem__(self, name: str) -> "Identity":
        """The identity with this ServiceAccount: an agent, the proxy, or a quarantined agent."""
        for identity in self.declaration.identities:
            if identity.name == name:
                return identity
        known = ", ".join(identity.name for identity in self.declaration.identities)
        raise AgentIdentitiesError(f"{name}: the values declare no such agent. They declare: {known}.")


def load(
    *files: str | Path,
    overrides: Mapping[str, Any] | None = None,
    chart: str | Path | None = None,
    release: str = DEFAULT_RELEASE,
    namespace: str = DEFAULT_NAMESPACE,
    kube_version: str = DEFAULT_KUBERNETES_VERSION,
) -> Agents:
    """Read values files (later files override earlier files), and validate them against the chart's schema.

    The default ``chart`` is the chart in this package. Raises ValuesError and YamlError with the file and the path.
    """
    agents = Agents(
        tuple(Path(file) for file in files),
        overrides or {},
        Path(chart) if chart is not None else bundled.chart_path(),
        release,
        namespace,
        kube_version,
    )
    _ = agents.values
    return agents
