"""Values before and after an upgrade that does all at once, and questions about a release between them."""

from agent_identities.chart.objects import Key
from support.server import Json, Server


def before(agents: int) -> Json:
    """So many agents, and two beside them: `suspect`, with two tiers, and `sibling`."""
    made: Json = {f"agent-{number:03}": {"tiers": ["reader"]} for number in range(agents)}
    made |= {"suspect": {"tiers": ["reader", "editor"]}, "sibling": {"tiers": ["reader"]}}
    return {"tiers": {"reader": _rules("pods"), "editor": _rules("services")}, "agents": made}


def after(agents: int) -> Json:
    """A third goes, as many come, every third of all has another tier, another rule, and suspect is quarantined."""
    numbers = range(agents // 3, agents + agents // 3)
    made: Json = {f"agent-{number:03}": {"tiers": ["reader" if number % 3 else "editor"]} for number in numbers}
    made |= {"suspect": {"tiers": ["reader", "editor"], "quarantined": True}, "sibling": {"tiers": ["reader"]}}
    return {"tiers": {"reader": _rules("configmaps"), "editor": _rules("services")}, "agents": made}


def quarantined(values: Json, agent: str = "suspect") -> Json:
    """The same values with one agent quarantined."""
    agents = values["agents"]
    return {**values, "agents": {**agents, agent: {**agents[agent], "quarantined": True}}}


def writes_before_half_of_the_upgrade(agents: int, helm_major: int) -> int:
    """How many writes an upgrade from `before` to `after` makes until it is at the bindings.

    Helm 3 writes what differs: the new accounts, a Role. Helm 4 applies what is kept as well.
    """
    kept = agents - agents // 3 + 2
    return agents // 3 + agents // 6 + (kept if helm_major == 4 else 0)


def accounts(objects: dict[Key, Json]) -> dict[str, str]:
    """ServiceAccount -> UID."""
    return {key.name: obj["metadata"]["uid"] for key, obj in objects.items() if key.kind == "ServiceAccount"}


def bindings_of(objects: dict[Key, Json], agent: str) -> set[str]:
    return {
        key.name
        for key, obj in objects.items()
        if key.kind == "RoleBinding" and agent in {subject["name"] for subject in obj.get("subjects") or ()}
    }


def may_get(server: Server, namespace: str, agent: str, resource: str) -> bool:
    """The decision of the API server's authorizer."""
    attributes = {"namespace": namespace, "verb": "get", "resource": resource}
    spec = {"user": f"system:serviceaccount:{namespace}:{agent}", "resourceAttributes": attributes}
    answer = server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    return bool(answer["status"].get("allowed"))


def _rules(resource: str) -> Json:
    return {"rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]}
