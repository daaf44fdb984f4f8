"""guards.deployers: what each named in the values may do, and no more; seen by what the guards say to them."""

from support.guard_probes.bindings import bind
from support.guard_probes.exec import connect, through
from support.guard_probes.model import HERE, PER_AGENT, PER_TIER, ProbeRequest, Table, made
from support.guard_probes.run_as import run
from support.subjects import account

RUN = Table("deployers", "run-as")
EXEC = Table("deployers", "exec")
BIND = Table("deployers", "bindings")
_ON, _TIER = {"modes": (PER_AGENT,)}, {"modes": (PER_TIER,)}

RUN.admits("its agent", "deployer", run("deployments", "b"))
for name in ("team-1", "team-2"):
    RUN.admits(f"every instance of its agent: {name}", "deployer", run("deployments", name), **_ON)
RUN.refuses("no other agent", "deployer", run("deployments", "a"), "as the agent a: this requires the verb use")
RUN.refuses("not the proxy", "deployer", run("deployments", "agent-proxy"), "as the agent agent-proxy", **_ON)
RUN.admits("an instance that it is named for", "pipeline", run("deployments", "team-2"), **_ON)
RUN.admits("the proxy that it is named for", "pipeline", run("deployments", "agent-proxy"), **_ON)
RUN.admits("the proxy that it is named for", "pipeline", run("deployments", "gateway"), **_TIER)
RUN.refuses("no other instance", "pipeline", run("deployments", "team-1"), "as the agent team-1", **_ON)
RUN.refuses("no account that no value names", "deployer", run("deployments", "operator"), "as the agent operator")
RUN.admits("an account that no value names", "member", run("deployments", "operator"))
RUN.refuses("no other agent", "pipeline", run("deployments", "a"), "as the agent a")
for name in ("a", "b", "long"):
    RUN.admits(f"all agents: {name}", "member", run("deployments", name))
for who in ("deployer", "pipeline"):
    EXEC.refuses("no pod: it may not use them all", who, connect("exec"), "may not exec into the pod a", **_ON)
    BIND.refuses("no rights for its agents", who, bind("here", account("b", HERE)), "ServiceAccount b")
EXEC.admits("into every pod", "member", connect("exec"), passes=through)
_asked = {
    "group": "agent-identities",
    "resource": "agents",
    "subresource": HERE,
    "verb": "use",
    "namespace": HERE,
    "name": "team-3",
}
RUN.admits(
    "its instance in quarantine, for when it is back",
    "deployer",
    ProbeRequest(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": _asked}}
    ),
    passes=lambda answer: made(answer) and bool(answer.body["status"]["allowed"]),
    **_ON,
)
BIND.admits("rights for agents", "member", bind("cluster", account("b", HERE)))
