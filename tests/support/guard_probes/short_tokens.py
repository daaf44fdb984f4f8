"""guards.shortTokens: the token that Kubernetes mounts ends."""

from collections.abc import Callable
from typing import Any

from agent_identities.kube.client import Answer
from support.guard_probes.model import ELSEWHERE, PER_AGENT, PER_TIER, Table, create, made
from support.guard_probes.stage import NOWHERE
from support.guarded import pod
from support.server import Json

TABLE = Table("shortTokens", "short-tokens")
MOUNTED: Json = {"automountServiceAccountToken": True}


def lifetimes(answer: Answer) -> dict[str, list[int]]:
    """Volume -> lifetimes of its tokens, of the pod that came back."""
    return {
        "injected" if volume["name"].startswith("kube-api-access-") else volume["name"]: [
            source["serviceAccountToken"]["expirationSeconds"]
            for source in volume["projected"].get("sources") or ()
            if "serviceAccountToken" in source
        ]
        for volume in answer.body["spec"].get("volumes") or ()
        if "projected" in volume
    }


def live(**expected: list[int]) -> Callable[[Answer], bool]:
    return lambda answer: made(answer) and lifetimes(answer) == expected


def tokens(*seconds: int, **more: Any) -> Json:
    return {
        "sources": [{"serviceAccountToken": {"path": str(s), "expirationSeconds": s, **more}} for s in seconds],
    }


_ON, _OFF = {"modes": (PER_AGENT,)}, {"modes": (PER_TIER,)}
for account, seconds in (
    ("a", 900),
    ("vault", 1200),
    ("b", 3600),
    ("long", 3600),
    ("agent-proxy", 3600),
    ("team-2", 3600),
):
    TABLE.admits(
        f"the token of {account} that is mounted lives {seconds} s",
        "administrator",
        create("pods", pod(account, **MOUNTED, **NOWHERE)),
        passes=live(injected=[seconds]),
        **_ON,
    )
TABLE.admits(
    "of an account that no value names",
    "administrator",
    create("pods", pod("operator", **MOUNTED)),
    passes=live(injected=[3600]),
    **_ON,
)
TABLE.admits("elsewhere", "administrator", create("pods", pod("a", **MOUNTED), ELSEWHERE), passes=live(injected=[3607]))
TABLE.admits(
    "where it is off", "administrator", create("pods", pod("b", **MOUNTED)), passes=live(injected=[3607]), **_OFF
)
_volumes = [
    {"name": "empty", "emptyDir": {}},
    {"name": "none", "projected": {"sources": []}},
    {"name": "info", "projected": {"sources": [{"configMap": {"name": "c"}}]}},
    {"name": "own", "projected": tokens(600, 3607, 899)},
]
TABLE.admits(
    "only the lifetime that becomes a year is touched",
    "administrator",
    create("pods", pod("a", volumes=_volumes, **MOUNTED)),
    passes=live(injected=[900], none=[], info=[], own=[600, 900, 899]),
    **_ON,
)
TABLE.admits(
    "several volumes, several tokens",
    "administrator",
    create(
        "pods",
        pod(
            "b",
            volumes=[
                {"name": "one", "projected": tokens(3607, 3607 - 7)},
                {"name": "two", "projected": tokens(3599, 3607)},
                {"name": "vault", "projected": tokens(600, audience="https://kubernetes.default.svc")},
            ],
            automountServiceAccountToken=False,
        ),
    ),
    passes=live(one=[3600, 3600], two=[3599, 3600], vault=[600]),
    **_ON,
)
TABLE.admits(
    "a pod without volumes",
    "administrator",
    create("pods", pod("a", automountServiceAccountToken=False)),
    passes=live(),
)
TABLE.admits(
    "a proxied agent's, which the guard of tokens refuses",
    "administrator",
    create("pods", pod("proxied", automountServiceAccountToken=False)),
    passes=live(),
)
