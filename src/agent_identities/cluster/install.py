"""Installs a release with Helm on a cluster that was created for the run."""

from typing import TYPE_CHECKING

from agent_identities.chart.helm import Helm, Release
from agent_identities.kube.client import Api
from agent_identities.toolchain import provide

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.cluster.provide import Cluster
    from agent_identities.declaration import Declaration


def install(cluster: "Cluster", agents: "Agents") -> None:
    """Create the prerequisites of the values, then run `helm install`. Raises HelmError, ApiError, ToolchainError."""
    create_prerequisites(cluster, agents.declared_for(cluster.version))
    tool = provide(["helm"])["helm"]
    helm = Helm(tool.path, tool.version)
    release = Release(helm, agents.chart, agents.release, agents.namespace, cluster.kubeconfig, cluster.context)
    release.install(agents.given)


def create_prerequisites(cluster: "Cluster", declaration: "Declaration") -> None:
    """Create the namespaces and ServiceAccounts that the values refer to and the chart does not create."""
    existing_accounts = [agent for agent in declaration.agents if not agent.created]
    granted = {grant.namespace for agent in declaration.agents for grant in agent.grants}
    with Api(cluster.access) as api:
        existing = {item["metadata"]["name"] for item in api.list_all("/api/v1/namespaces")}
        for name in sorted(granted - existing - {"", declaration.namespace}):
            api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        if existing_accounts and declaration.namespace not in existing:
            api.post("/api/v1/namespaces", {"metadata": {"name": declaration.namespace}})
        for agent in existing_accounts:
            path = f"/api/v1/namespaces/{agent.namespace}/serviceaccounts"
            api.post(path, {"metadata": {"name": agent.name}})
