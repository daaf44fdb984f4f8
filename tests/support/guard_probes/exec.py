"""guards.exec: who gets into the pods of the agents' namespace."""

from agent_identities.kube.client import Answer
from support.guard_probes.model import ELSEWHERE, END, HERE, PER_AGENT, PER_TIER, ProbeRequest, Table, collection

TABLE = Table("exec", "exec")
WAYS = ("exec", "attach", "portforward", "proxy")
SERVICE = "a:80"


def connect(way: str, namespace: str = HERE) -> ProbeRequest:
    query = "?command=sh&stdout=true" if way == "exec" else ""
    return ProbeRequest("POST", f"{collection('pods', namespace)}/a/{way}{query}", {})


def through(answer: Answer) -> bool:
    """The pod runs nowhere, which is found out after all admission."""
    nowhere = ("does not have a host assigned", "address not allowed")
    return any(text in answer.message for text in nowhere)


for way in WAYS:
    for who in ("dev", "user of a", "user elsewhere", "agent a", "remover"):
        TABLE.refuses(
            way,
            who,
            connect(way),
            f"may not {way} into the pod a: this requires the verb use on all agents",
            " of $ns. To allow the request: guards: {deployers: [{kind: User, name:",
            '"}]}' + END,
            modes=(PER_AGENT,),
        )
    for who in ("user of all", "administrator"):
        TABLE.admits(way, who, connect(way), passes=through)
    TABLE.admits(f"{way} elsewhere", "dev", connect(way, ELSEWHERE), passes=through)
    TABLE.admits(f"{way}, where the guard is off", "dev", connect(way), passes=through, modes=(PER_TIER,))


def without_endpoints(answer: Answer) -> bool:
    """The Service has no endpoints, which is found out after all admission."""
    return answer.status == 404 and 'services "a" not found' in answer.message


def to_service(method: str, namespace: str = HERE) -> ProbeRequest:
    return ProbeRequest(method, f"{collection('services', namespace)}/{SERVICE}/proxy/", {})


for method in ("GET", "POST"):
    for who in ("dev", "user of a", "agent a", "wildcards of Kubernetes"):
        TABLE.refuses(
            f"a Service, by {method}",
            who,
            to_service(method),
            "may not proxy into the Service a:80: this requires the verb use on all agents",
            modes=(PER_AGENT,),
        )
    for who in ("user of all", "administrator"):
        TABLE.admits(f"a Service, by {method}", who, to_service(method), passes=without_endpoints)
    TABLE.admits(f"a Service elsewhere, by {method}", "dev", to_service(method, ELSEWHERE), passes=without_endpoints)
