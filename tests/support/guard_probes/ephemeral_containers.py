"""guards.ephemeralContainers: who may debug an agent's pod."""

from support.guard_probes.model import ELSEWHERE, END, HERE, PER_AGENT, PER_TIER, ProbeRequest, Table, patch

TABLE = Table("ephemeralContainers", "ephemeral-containers")


def debug(name: str, namespace: str = HERE) -> ProbeRequest:
    container = {"name": "debug", "image": "registry.example/shell:1"}
    return patch("pods", f"{name}/ephemeralcontainers", {"spec": {"ephemeralContainers": [container]}}, namespace)


_ON = {"modes": (PER_AGENT,)}
for who in ("dev", "user elsewhere", "a of elsewhere", "remover", "binder"):
    TABLE.refuses(
        "an agent's pod",
        who,
        debug("a"),
        "may not add a container to the pod a of the agent a: this requires the verb use",
        "on the agent. To allow the request: guards: {deployers: [{kind: User, name:",
        "agents: [a]}]}" + END,
        **_ON,
    )
for name in ("agent-proxy", "other-bot", "proxied", "kept-bot"):
    TABLE.refuses(
        f"the pod of {name}",
        "dev",
        debug(name),
        f"dev@$ns may not add a container to the pod {name} of the agent {name}",
        **_ON,
    )
TABLE.refuses("another agent's pod than one may use", "user of a", debug("b"), "pod b of the agent b", **_ON)
TABLE.refuses("a sibling's pod", "agent a", debug("b"), "pod b of the agent b", **_ON)
for who in ("user of a", "user of all", "agent a", "administrator"):
    TABLE.admits("an agent's pod", who, debug("a"))
for name in ("default", "operator"):
    TABLE.refuses(f"the pod of {name}", "dev", debug(name), f"pod {name} of the agent {name}", **_ON)
    TABLE.admits(f"the pod of {name}", "user of all", debug(name))
TABLE.refuses(
    "its own pod, by impersonation",
    "impersonated a",
    debug("a"),
    "pod a of the agent a",
    also=("impersonation",),
    **_ON,
)
TABLE.admits("a pod elsewhere", "dev", debug("a", ELSEWHERE))
TABLE.admits("an agent's pod, where the guard only warns", "dev", debug("a"), modes=(PER_TIER,))
