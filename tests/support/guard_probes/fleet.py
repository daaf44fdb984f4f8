"""A thousand agents and more: their names, and their data for the guards, are in several maps."""

from support.guard_probes.bindings import bind
from support.guard_probes.model import FLEET, HERE, Table, create
from support.guard_probes.quarantine import lifts, named
from support.guard_probes.release import AUDIENCE, CREW, OUT, SIZE
from support.guard_probes.run_as import run
from support.guard_probes.short_tokens import MOUNTED, live
from support.guard_probes.stage import NOWHERE, token_secret
from support.guard_probes.tokens import admit
from support.guarded import pod
from support.subjects import account


def _some(entry: str) -> list[str]:
    """The first and the last, and some between, in the order of the maps."""
    names = sorted(f"{entry}-{number}" for number in range(1, SIZE + 1))
    return [names[place] for place in (0, 1, 500, 700, 900, 988, 999, -1)]


ACCOUNTS = _some(CREW)
_MODE = {"modes": (FLEET,)}
RUN_AS, TOKENS = Table("runAs", "run-as"), Table("tokens", "tokens")
SECRETS, BINDINGS = Table("tokenSecrets", "token-secrets"), Table("bindings", "bindings")
QUARANTINE, SHORT = Table("quarantine", "quarantine"), Table("shortTokens", "short-tokens")

for name in (*_some(CREW), *_some(OUT)):
    also = ("quarantine-pods",) if name.startswith("out") else ()
    RUN_AS.refuses(
        f"as {name}", "dev", run("deployments", name), f"as the agent {name}: this requires", also=also, **_MODE
    )
    SECRETS.refuses(f"of {name}", "dev", create("secrets", token_secret(name)), f"a token of the agent {name}", **_MODE)
    also = ("quarantine-bindings",) if name.startswith("out") else ()
    rights = bind("here", account(name, HERE))
    BINDINGS.refuses(f"to {name}", "dev", rights, f"may not bind ServiceAccount {name} to", also=also, **_MODE)
for name in _some(CREW):
    own = admit(name, {"audience": AUDIENCE, "expirationSeconds": 900}, {"expirationSeconds": 900})
    TOKENS.admits(f"of {name}", "user of all", own, **_MODE)
    for source in ({"audience": AUDIENCE, "expirationSeconds": 901}, {"expirationSeconds": 901}):
        TOKENS.refuses(
            f"of {name} for longer, for {source.get('audience')}",
            "user of all",
            admit(name, source),
            f"the agent {name} with this lifetime: the maximum is 900 s",
            f"agents: {{{CREW}: {{token",
            **_MODE,
        )
    QUARANTINE.admits(f"the account {name}x", "binder", named(f"{name}x"), **_MODE)
    SHORT.admits(
        f"of {name}",
        "administrator",
        create("pods", pod(name, **MOUNTED, **NOWHERE)),
        passes=live(injected=[900]),
        **_MODE,
    )
for name in _some(OUT):
    words = f"may not create the ServiceAccount {name}: {lifts(OUT)}"
    QUARANTINE.refuses(f"the account {name}", "administrator", named(name), words, **_MODE)
RUN_AS.admits("as an account that no value names", "user of all", run("deployments", "operator"), **_MODE)
