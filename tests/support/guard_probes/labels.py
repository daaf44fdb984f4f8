"""guards.labels: the label agent-identities/agent says as whom a pod runs."""

from typing import Any

from support.guard_probes.model import ELSEWHERE, END, ProbeRequest, Table, create, patch
from support.guard_probes.stage import still_pod
from support.server import Json

TABLE = Table("labels", "labels")
LABEL = "agent-identities/agent"


def run(account: str, labels: Json, **where: Any) -> ProbeRequest:
    given = still_pod(account, "p")
    given["metadata"]["labels"] = labels
    return create("pods", given, **where)


def relabel(name: str, label: str | None, **more: Any) -> ProbeRequest:
    return patch("pods", name, {"metadata": {"labels": {LABEL: label, **more}}})


_WORDS = ": network policies and Services find the pods of an agent by this label. The pod runs as "
for who in ("user of all", "controller", "almost remover", "binder", "all verbs"):
    if who not in ("almost remover", "binder"):
        TABLE.refuses(
            "a pod with another agent's label",
            who,
            run("a", {LABEL: "b"}),
            f'may not set the label agent-identities/agent of the pod p to "b"{_WORDS}a. Set the label: '
            f"agent-identities/agent: a{END}",
        )
    TABLE.refuses("another agent's label", who, relabel("labelled", "b"), f'to "b"{_WORDS}a')
    TABLE.refuses("without its label", who, relabel("labelled", None), f'to ""{_WORDS}a')
    TABLE.refuses("a first label, of another", who, relabel("simple", "b"), f'to "b"{_WORDS}a')
for who in ("user of all", "controller"):
    TABLE.admits("a pod with its label", who, run("a", {LABEL: "a"}))
    TABLE.admits("a pod without it", who, run("a", {"app": "x"}))
    TABLE.admits("a pod without labels", who, run("a", {}))
PROXY = "agent-identities/proxy"
TABLE.refuses(
    "the proxy's label", "user of all", run("a", {PROXY: "agent-proxy"}), f'{PROXY} of the pod p to "agent-proxy"'
)
TABLE.refuses(
    "the proxy's label, later",
    "user of all",
    patch("pods", "simple", {"metadata": {"labels": {PROXY: "b"}}}),
    f"{PROXY} of the pod simple",
)
TABLE.admits("the label of the proxy, on its pod", "user of all", run("agent-proxy", {PROXY: "agent-proxy"}))
TABLE.admits("its own label, later", "dev", relabel("simple", "a"))
TABLE.admits("another label", "dev", relabel("labelled", "a", app="x"))
TABLE.admits("another label, where this one was wrong before", "dev", relabel("mislabelled", "b", app="x"))
TABLE.admits("its own label, where it was wrong before", "dev", relabel("mislabelled", "a"))
for who in ("remover", "administrator"):
    TABLE.admits("another agent's label", who, relabel("labelled", "b"))
TABLE.admits("elsewhere", "dev", run("a", {LABEL: "b"}, namespace=ELSEWHERE))
