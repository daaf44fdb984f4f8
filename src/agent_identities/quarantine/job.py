"""The quarantine job: remove the rights, the ServiceAccount and the pods of one agent from a live cluster."""

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from agent_identities.chart.names import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.cluster.provide import Cluster
    from agent_identities.kube.client import Api
    from agent_identities.quarantine.find import FoundAgent
    from agent_identities.quarantine.result import Revocation

_RIGHTS = (
    "Nothing was removed. The rights that the command needs are in docs/responder.yaml: ask an administrator for them."
)


def quarantine(
    agent: str,
    cluster: "Cluster",
    *,
    agents: "Agents | None" = None,
    namespace: str = DEFAULT_NAMESPACE,
    release: str | None = None,
    dry_run: bool = False,
    started: float | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> "Revocation":
    """Remove every right of an agent, and return once the API server neither allows nor authenticates it.

    ``agent`` is the name of a ServiceAccount, or of an entry of the values with all of its instances. ``agents`` are
    the values of the release, and select its namespace; without them, labels on the cluster and Helm's record are used.
    ``release`` is the name of the release; the default is the label of the ServiceAccount. Times in the result count
    from ``started`` (time.monotonic(); the default is now). With ``dry_run`` nothing is written. Raises ApiError and
    AgentIdentitiesError if nothing could be done.
    """
    from agent_identities.quarantine.find import find

    def search(api: "Api", namespace: str, values: Mapping[str, Any] | None) -> "FoundAgent":
        return find(api, agent, namespace, release=release, values=values)

    return _run(search, cluster, agents, namespace, release, started, on_step, dry_run=dry_run)


def quarantine_all(
    cluster: "Cluster",
    *,
    agents: "Agents | None" = None,
    namespace: str = DEFAULT_NAMESPACE,
    release: str | None = None,
    dry_run: bool = False,
    started: float | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> "Revocation":
    """Remove every right of all agents of a release, as `quarantine` does for one agent.

    The agents are those with the agents' label on the cluster, and those that the values declare. The proxy is not an
    agent, and keeps its own rights. Raises AgentIdentitiesError if the namespace has agents of several releases and
    ``release`` is None.
    """
    from agent_identities.quarantine.find import find_all

    def search(api: "Api", namespace: str, values: Mapping[str, Any] | None) -> "FoundAgent":
        return find_all(api, namespace, release=release, values=values)

    return _run(search, cluster, agents, namespace, release, started, on_step, dry_run=dry_run)


def _run(
    search: Callable[["Api", str, Mapping[str, Any] | None], "FoundAgent"],
    cluster: "Cluster",
    agents: "Agents | None",
    namespace: str,
    release: str | None,
    started: float | None,
    on_step: Callable[[str], None],
    *,
    dry_run: bool,
) -> "Revocation":
    from agent_identities.chart.arguments import check_namespace, check_release
    from agent_identities.kube.client import Api, ApiError
    from agent_identities.quarantine.revoke import revoke

    check_namespace(namespace)
    if release is not None:
        check_release(release)
    started = time.monotonic() if started is None else started
    if agents is not None:
        namespace = agents.namespace
    with Api(cluster.access) as api:
        try:
            found = search(api, namespace, agents.values if agents is not None else None)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            raise ApiError(f"{error.refusal} {_RIGHTS}", status=error.status) from None
        return revoke(api, found, started=started, dry_run=dry_run, on_step=on_step)
