"""guards.tokens: short, bound, for the right audience, and never a sibling's."""

from typing import Any

from support.guard_probes.model import (
    ELSEWHERE,
    END,
    HERE,
    PER_AGENT,
    PER_TIER,
    ProbeRequest,
    Table,
    collection,
    create,
    patch,
)
from support.guard_probes.release import CLOUD
from support.guard_probes.stage import NOWHERE
from support.guarded import pod
from support.server import Json

TABLE = Table("tokens", "tokens")
OWN = ("https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc")
MOUNTED: Json = {"automountServiceAccountToken": True}
_AGENT_MODE = {"modes": (PER_AGENT,)}
_TIER_MODE = {"modes": (PER_TIER,)}


def request(account: str, *, bound: bool = True, namespace: str = HERE, **spec: Any) -> ProbeRequest:
    """A TokenRequest; by default as a good user makes it."""
    good: Json = {"expirationSeconds": 600}
    if bound:
        good["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": account}
    return ProbeRequest("POST", f"{collection('serviceaccounts', namespace)}/{account}/token", {"spec": good | spec})


def admit(account: str, *sources: Json, name: str = "t", namespace: str = HERE, **spec: Any) -> ProbeRequest:
    """A pod with a volume of tokens."""
    projected = {"sources": [{"serviceAccountToken": {"path": f"t{n}", **s}} for n, s in enumerate(sources)]}
    volumes: Json = {"volumes": [{"name": name, "projected": projected}]} if sources else {}
    return create("pods", pod(account, **volumes, **spec, **NOWHERE), namespace)


# the token of another
_SIBLING = "an agent cannot get the token of another agent or of the proxy; no setting allows this. Run the task as "
TABLE.admits("an agent's own", "agent a", request("a"))
TABLE.refuses(
    "a sibling's",
    "agent a",
    request("b"),
    "$ns:a may not get a token of the agent b: " + _SIBLING + "b" + END,
)
TABLE.refuses("a sibling's, who holds all verbs", "agent b", request("a"), _SIBLING)
TABLE.refuses("a proxied sibling's", "agent b", request("proxied"), _SIBLING)
TABLE.refuses("a sibling's", "proxy", request("a"), _SIBLING, modes=(PER_AGENT,))
TABLE.refuses("the proxy's", "agent b", request("agent-proxy"), _SIBLING, **_AGENT_MODE)
TABLE.refuses("the proxy's", "agent b", request("gateway"), _SIBLING, **_TIER_MODE)
TABLE.refuses("a sibling's, by one in quarantine", "quarantined agent", request("a"), _SIBLING, **_AGENT_MODE)
TABLE.refuses("by an account that no value names", "operator", request("a"), _SIBLING)
TABLE.refuses("of an account that no value names", "agent a", request("operator"), _SIBLING)
TABLE.refuses(
    "an agent's own, by impersonation",
    "impersonated a",
    request("a"),
    "$ns:a may not get a token of the agent a: this requires the verb use",
    also=("impersonation",),
)
TABLE.admits("by an account elsewhere", "b of elsewhere", request("a"))
TABLE.admits("a sibling's pod, of who may use it", "agent b", admit("a", {"expirationSeconds": 900}))

# none at all
_NONE = "the agent is proxied or quarantined, and has no tokens"
_CURE = ". To give tokens to a proxied agent: agents: {proxied: {access: direct}}. "
_CURE += f"To run a pod without a token: automountServiceAccountToken: false{END}"
for who in ("user of all", "dev", "kubelet"):
    TABLE.refuses("of a proxied agent", who, request("proxied"), f"token of the agent proxied: {_NONE}{_CURE}")
TABLE.admits("of a proxied agent, in an emergency", "breaker", request("proxied", bound=False))
TABLE.admits("of a proxied agent, in an emergency", "administrator", request("proxied"))
for who in ("user of all", "user and breaker"):
    TABLE.refuses(
        "a proxied agent's pod with Kubernetes' token",
        who,
        admit("proxied", **MOUNTED),
        "@$ns: the pod p may not get a token of the agent proxied",
        _NONE,
        "automountServiceAccountToken: false",
    )
TABLE.refuses("a proxied agent's pod with a token", "user of all", admit("proxied", {"audience": "mesh"}), _NONE)
_other_volumes = [{"name": "e", "emptyDir": {}}, {"name": "n", "projected": {"sources": []}}]
_info = {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
_no_token = [{"name": "i", "projected": {"sources": [_info]}}]
for said, volumes in (("no volumes", []), ("volumes without tokens", [*_other_volumes, *_no_token])):
    still = pod("proxied", automountServiceAccountToken=False, volumes=volumes, **NOWHERE)
    TABLE.admits(f"a proxied agent's pod with {said}", "user of all", create("pods", still))
TABLE.refuses(
    "of an agent by its key", "user of all", request("crew-1"), _NONE, "agents: {crew: {access", **_AGENT_MODE
)
TABLE.refuses("of a quarantined agent", "user of all", request("kept-bot"), _NONE, also=("quarantine",), **_AGENT_MODE)

# who may have it
_USE = "this requires the verb use on the agent. To allow the request: guards: {deployers: [{kind: User, name:"
for who in ("dev", "user elsewhere", "a of elsewhere", "binder", "remover"):
    TABLE.refuses(
        "of an agent", who, request("a"), "may not get a token of the agent a: " + _USE, "agents: [a]}]}" + END
    )
TABLE.refuses("of another agent than one's own", "user of a", request("b"), "agent b: " + _USE)
for who in ("user of a", "user of all", "administrator", "breaker", "kubelet"):
    TABLE.admits("of an agent", who, request("a"))
TABLE.refuses("of an agent that the emergency is not of", "breaker", request("b"), _USE)
for account in ("operator", "default"):
    TABLE.refuses(f"of {account}, which no value names", "dev", request(account), f"agent {account}: {_USE}")
    TABLE.admits(f"of {account}, which no value names", "user of all", request(account))
    TABLE.refuses(
        f"of {account}, which no value names, for others",
        "user of all",
        request(account, audiences=["x"]),
        f"agent {account} for this audience",
    )
TABLE.refuses("of an agent, by wildcards of Kubernetes", "wildcards of Kubernetes", request("a"), _USE)
TABLE.refuses("of an agent, by an add-on of kube-system", "add-on", request("a"), _USE)
TABLE.admits("of a namesake elsewhere", "dev", request("a", bound=False, namespace=ELSEWHERE, audiences=["x"]))
for account, modes in (("agent-proxy", _AGENT_MODE), ("gateway", _TIER_MODE), ("other-bot", _AGENT_MODE)):
    TABLE.refuses(f"of {account}", "dev", request(account), f"agent {account}: {_USE}", **modes)
    TABLE.admits(f"of {account}", "user of all", request(account), **modes)

# bound to a pod
_BOUND = "that is not bound to a pod and outlives the pod. Set in the TokenRequest: boundObjectRef: {apiVersion: v1, "
_BOUND += "kind: Pod, name: <pod>}. Users with the verb request-any-token on the agent can get such a token" + END
_secret = {"apiVersion": "v1", "kind": "Secret", "name": "opaque"}
for who in ("user of all", "agent a"):
    TABLE.refuses("not bound", who, request("a", bound=False), "a token of the agent a " + _BOUND)
TABLE.refuses("bound to null", "user of all", request("a", bound=False, boundObjectRef=None), _BOUND)
TABLE.refuses("bound to a Secret", "user of all", request("a", boundObjectRef=_secret), _BOUND)
TABLE.admits("not bound, in an emergency", "breaker", request("a", bound=False))
TABLE.admits("bound to a Secret, in an emergency", "breaker", request("a", boundObjectRef=_secret))
TABLE.admits("not bound, for a kubelet", "kubelet", request("a", bound=False))

# for whom
_FOR_ALL = (
    "or for all agents: guards: {tokens: {audiences: {<audience>: <seconds>}}}; for the sidecar of a service mesh: "
    "guards: {tokens: {meshes: [istio]}}; for an audience of the API server: "
)
_FOR_ALL += "guards: {tokens: {apiAudiences: [<audience>]}}" + END
_WHOM = "for this audience. To allow the audience: agents: {"
for account, audience in (("a", "vault"), ("a", CLOUD), ("vault", CLOUD), ("vault", "brie"), ("cloud", "api://Azure")):
    words = (f"the agent {account} {_WHOM}{account}: {{tokens: {{other: {{audience: <audience>}}}}}}", _FOR_ALL)
    TABLE.refuses(f"of {account} for {audience}", "user of all", request(account, audiences=[audience]), *words)
    both = request(account, audiences=[OWN[0], audience])
    TABLE.refuses(f"of {account} for the API server and {audience}", "user of all", both, *words)
    pods = admit(account, {"expirationSeconds": 600}, {"audience": audience, "expirationSeconds": 600})
    TABLE.refuses(
        f"a pod of {account} for {audience}",
        "user of all",
        pods,
        f"the pod p may not get a token of the agent {account} {_WHOM}",
    )
TABLE.refuses("for another, as itself", "agent a", request("a", audiences=["vault"]), _WHOM)
TABLE.refuses(
    "of an instance", "user of all", request("team-1", audiences=["x"]), "agents: {team: {tokens", **_AGENT_MODE
)
TABLE.refuses(
    "of an account of another name",
    "user of all",
    request("other-bot", audiences=["x"]),
    "agents: {other: {tokens",
    **_AGENT_MODE,
)
TABLE.refuses(
    "a second volume",
    "user of all",
    create(
        "pods",
        pod(
            "a",
            volumes=[
                {
                    "name": "t",
                    "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}]},
                },
                {
                    "name": "u",
                    "projected": {"sources": [_info, {"serviceAccountToken": {"path": "u", "audience": "x"}}]},
                },
            ],
            **NOWHERE,
        ),
    ),
    _WHOM,
)
TABLE.admits("for another, in an emergency", "breaker", request("a", audiences=["x"]))
TABLE.admits("for another, for a kubelet", "kubelet", request("a", audiences=["x"]))
TABLE.refuses("a pod for another, whoever makes it", "administrator", admit("a", {"audience": "x"}), _WHOM)
TABLE.refuses("a pod for another, by a controller", "controller", admit("a", {"audience": "x"}), _WHOM)

# how long
_LONG = "with this lifetime: "
_LIMITS: list[tuple[str, list[str], int, int, Json]] = [
    # account, audiences, longest, longest of its own, releases
    ("a", [], 900, 900, {}),
    ("a", [OWN[0]], 900, 900, {}),
    ("long", [], 7200, 7200, {}),
    ("vault", [], 1200, 1200, {}),
    ("vault", ["vault"], 1200, 1200, {}),
    ("vault", ["extra"], 3600, 1200, {}),
    ("vault", ["brief"], 700, 1200, {}),
    ("vault", ["vault", "extra"], 1200, 1200, {}),
    ("b", [], 3600, 3600, _AGENT_MODE),
    ("b", [], 5000, 5000, _TIER_MODE),
    ("cloud", [CLOUD], 86400, 3600, _AGENT_MODE),
    ("cloud", [CLOUD], 86400, 5000, _TIER_MODE),
    ("a", ["mesh"], 43200, 900, _AGENT_MODE),
    ("b", ["mesh"], 43200, 3600, _AGENT_MODE),
    ("a", [OWN[1]], 900, 900, _AGENT_MODE),
    ("a", ["https://own"], 900, 900, _TIER_MODE),
    ("gateway", ["gate"], 1800, 1800, _TIER_MODE),
    ("gateway", [], 1800, 1800, _TIER_MODE),
    ("agent-proxy", [], 3600, 3600, _AGENT_MODE),
]
for account, audiences, longest, own, modes in _LIMITS:
    of = f"of {account} for {', '.join(audiences) or 'nobody named'}"
    asked: Json = {"audiences": audiences} if audiences else {}
    TABLE.admits(f"{of}: {longest} s", "user of all", request(account, expirationSeconds=longest, **asked), **modes)
    TABLE.refuses(
        f"{of}: {longest + 1} s",
        "user of all",
        request(account, expirationSeconds=longest + 1, **asked),
        f"a token of the agent {account} {_LONG}the maximum is {own} s; 3607 s is refused, because the API server "
        "extends",
        f" it to a year. Set: expirationSeconds: {own}. To allow a longer lifetime: agents: {{{account}: {{token: "
        f"{{expirationSeconds: <seconds>}}}}}}{END}",
        **modes,
    )
    if len(audiences) <= 1:
        to: Json = {"audience": audiences[0]} if audiences else {}
        TABLE.admits(
            f"a pod {of}: {longest} s",
            "user of all",
            admit(account, to | {"expirationSeconds": longest}, automountServiceAccountToken=False),
            **modes,
        )
        TABLE.refuses(
            f"a pod {of}: {longest + 1} s",
            "user of all",
            admit(account, to | {"expirationSeconds": longest + 1}),
            f"the pod p may not get a token of the agent {account} {_LONG}the maximum is {own} s",
            **modes,
        )
TABLE.refuses(
    "the one that becomes a year", "user of all", request("long", expirationSeconds=3607), _LONG, "3607 s is refused"
)
TABLE.refuses(
    "a short one and a long one",
    "user of all",
    admit("a", {"expirationSeconds": 600}, {"expirationSeconds": 901}),
    _LONG,
)
TABLE.refuses("a pod that does not say", "user of all", admit("a", {}), _LONG)
TABLE.refuses("too long, as itself", "agent a", request("a", expirationSeconds=901), _LONG)
TABLE.refuses(
    "of an instance for long",
    "user of all",
    request("team-1", expirationSeconds=3601),
    "agents: {team: {token: {",
    **_AGENT_MODE,
)
TABLE.admits("too long, in an emergency", "breaker", request("a", expirationSeconds=7200))
TABLE.admits("the injected one, for a kubelet", "kubelet", request("a", expirationSeconds=3607))
TABLE.refuses("a pod for too long, whoever makes it", "administrator", admit("a", {"expirationSeconds": 901}), _LONG)

# pods
TABLE.admits("a pod with Kubernetes' token", "user of all", admit("a", **MOUNTED))
TABLE.admits("a pod with other volumes", "user of all", create("pods", pod("a", volumes=_other_volumes, **NOWHERE)))
TABLE.admits(
    "a pod with a projection without tokens", "user of all", create("pods", pod("a", volumes=_no_token, **NOWHERE))
)
TABLE.refuses("a pod that no value names, for others", "user of all", admit("operator", {"audience": "x"}), _WHOM)
for seconds, modes in ((3600, _AGENT_MODE), (5000, _TIER_MODE)):
    TABLE.admits("a pod that no value names", "user of all", admit("operator", {"expirationSeconds": seconds}), **modes)
    TABLE.refuses(
        "a pod that no value names, for longer",
        "user of all",
        admit("operator", {"expirationSeconds": seconds + 1}),
        f"the maximum is {seconds} s",
        **modes,
    )
TABLE.admits("a pod elsewhere", "dev", admit("a", {"audience": "x"}, namespace=ELSEWHERE))
TABLE.admits("a label of a pod that was there", "dev", patch("pods", "longer", {"metadata": {"labels": {"x": "y"}}}))
_imitation = {"name": "kube-api-access-abcde"}
TABLE.refuses("an imitation for longer", "user of all", admit("a", {"expirationSeconds": 3608}, **_imitation), _LONG)
TABLE.refuses(
    "an imitation for others",
    "user of all",
    admit("a", {"expirationSeconds": 3607, "audience": "x"}, **_imitation),
    _WHOM,
)
# without shortTokens, which makes 3607 something else before this guard sees it
TABLE.admits("an imitation", "user of all", admit("a", {"expirationSeconds": 3607}, **_imitation), **_TIER_MODE)
TABLE.refuses(
    "a pod for a year", "user of all", admit("b", {"expirationSeconds": 3607}), _LONG, "3607 s is refused", **_TIER_MODE
)
TABLE.refuses(
    "a pod of long for a year", "user of all", admit("long", {"expirationSeconds": 3607}), _LONG, **_TIER_MODE
)
TABLE.refuses(
    "Kubernetes' token under another name",
    "user of all",
    admit("a", {"expirationSeconds": 3607}, name="my-kube-api-access-a"),
    _LONG,
    **_TIER_MODE,
)
