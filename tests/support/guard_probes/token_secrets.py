"""guards.tokenSecrets: no Secret holds a token of an agent."""

from support.guard_probes.model import ELSEWHERE, END, PER_AGENT, PER_TIER, Table, create, patch
from support.guard_probes.stage import SECRET_NAME, token_secret

TABLE = Table("tokenSecrets", "token-secrets")

for who in ("dev", "administrator", "all verbs", "agent a"):
    TABLE.refuses(
        "of an agent",
        who,
        create("secrets", token_secret("a")),
        "may not use the Secret s for a token of the agent a",
        "projected",
    )
_BOTH = (PER_AGENT, PER_TIER)
for account, modes in (
    ("proxied", _BOTH),
    ("agent-proxy", (PER_AGENT,)),
    ("gateway", (PER_TIER,)),
    ("other-bot", (PER_AGENT,)),
    ("team-2", (PER_AGENT,)),
    ("kept-bot", (PER_AGENT,)),
    ("operator", _BOTH),
    ("of-tomorrow", _BOTH),
    ("default", _BOTH),
):
    TABLE.refuses(
        f"of {account}",
        "dev",
        create("secrets", token_secret(account)),
        f"dev@$ns may not use the Secret s for a token of the agent {account}: the token would never expire. "
        "Mount a projected serviceAccountToken in the pod instead, or disable this guard: "
        f"guards: {{tokenSecrets: {{enabled: false}}}}{END}",
        modes=modes,
    )
TABLE.admits("elsewhere", "dev", create("secrets", token_secret("a"), ELSEWHERE))
TABLE.admits("of nobody", "dev", create("secrets", {"metadata": {"name": "s"}}))
TABLE.admits(
    "of another type", "dev", create("secrets", {"metadata": {"name": "s", "annotations": {SECRET_NAME: "a"}}})
)
TABLE.refuses(
    "one of another account that becomes the agent's",
    "dev",
    patch("secrets", "of-default", {"metadata": {"annotations": {SECRET_NAME: "a"}}}),
    "dev@$ns may not use the Secret of-default for a token of the agent a",
)
TABLE.refuses(
    "one that becomes another account's",
    "dev",
    patch("secrets", "of-default", {"metadata": {"annotations": {SECRET_NAME: "operator"}}}),
    "dev@$ns may not use the Secret of-default for a token of the agent operator",
)
_note = {"metadata": {"annotations": {"note": "x"}}}
TABLE.admits("a note on one of another account", "dev", patch("secrets", "of-default", _note))
TABLE.admits("a note on an agent's that was there: its controller fills it", "dev", patch("secrets", "of-a", _note))
TABLE.admits("a note on what has another type", "dev", patch("secrets", "opaque", _note))
