"""Installs a release on a cluster that was made for the run, with real Helm."""

from typing import TYPE_CHECKING

from agent_identities.chart.helm import Helm, Release
from agent_identities.kube.client import Api
from agent_identities.toolchain import provide

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.cluster.provide import Cluster
    from agent_identities.declaration import Declaration


def install(cluster: "Cluster", agents: "Agents") -> None:
    """Create what the values take for granted, then run `helm install`. Raises HelmError, ApiError, ToolchainError."""
    create_prerequisites(cluster, agents.declared_for(cluster.version))
    tool = provide(["helm"])["helm"]
    helm = Helm(tool.path, tool.version)
    release = Release(helm, agents.chart, agents.release, agents.namespace, cluster.kubeconfig, cluster.context)
    release.install(agents.given)


def create_prerequisites(cluster: "Cluster", declaration: "Declaration") -> None:
    """Create the namespaces and the ServiceAccounts that the values name and the chart does not create."""
    borrowed = [agent for agent in declaration.agents if not agent.created]
    granted = {grant.namespace for one in declaration.agents for grant in one.grants}
    with Api(cluster.access) as api:
        existing = {item["metadata"]["name"] for item in api.list_all("/api/v1/namespaces")}
        for name in sorted(granted - existing - {"", declaration.namespace}):
            api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        if borrowed and declaration.namespace not in existing:
            api.post("/api/v1/namespaces", {"metadata": {"name": declaration.namespace}})
        for one in borrowed:
            path = f"/api/v1/namespaces/{one.namespace}/serviceaccounts"
            api.post(path, {"metadata": {"name": one.name}})
