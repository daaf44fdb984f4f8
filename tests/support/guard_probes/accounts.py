"""guards.accounts: who may make or change the ServiceAccounts of the agents' namespace."""

from support.guard_probes.model import ELSEWHERE, END, Table, create, patch, remove
from support.server import Json

TABLE = Table("accounts", "accounts")
_NEW = create("serviceaccounts", {"metadata": {"name": "of-tomorrow"}})
_CHANGES: dict[str, Json] = {
    "a cloud role": {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:x"}}},
    "a label": {"metadata": {"labels": {"agent-identities/agent": "b"}}},
    "a finalizer": {"metadata": {"finalizers": ["example.com/keep"]}},
    "an owner": {
        "metadata": {
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "11111111-2222-3333-4444-555555555555"}
            ]
        }
    },
    "automount": {"automountServiceAccountToken": True},
    "pull secrets": {"imagePullSecrets": [{"name": "x"}]},
    "secrets": {"secrets": [{"name": "x"}]},
}
_WORDS = (
    "every ServiceAccount of $ns is an agent. Add the agent or its annotations to the values, or allow the request: "
)
for who in ("dev", "user of all", "almost remover", "agent a", "add-on", "user elsewhere", "wildcards of Kubernetes"):
    TABLE.refuses(
        "a new account",
        who,
        _NEW,
        f" may not write the ServiceAccount of-tomorrow: {_WORDS}guards: {{deployers: [{{kind: User, name: ",
        "bindAgents: true}]}" + END,
    )
for title, change in _CHANGES.items():
    for name in ("a", "operator"):
        TABLE.refuses(
            f"{title} of {name}", "dev", patch("serviceaccounts", name, change), f"write the ServiceAccount {name}"
        )
    for who in ("binder", "remover", "controller of accounts", "controller manager"):
        TABLE.admits(title, who, patch("serviceaccounts", "a", change))
for who in ("binder", "remover", "controller of accounts", "controller manager", "administrator"):
    TABLE.admits("a new account", who, _NEW)
TABLE.admits("no change", "dev", patch("serviceaccounts", "a", {}))
TABLE.admits("without the account", "dev", remove("serviceaccounts", "operator"))
TABLE.admits("elsewhere", "dev", create("serviceaccounts", {"metadata": {"name": "of-tomorrow"}}, ELSEWHERE))
TABLE.admits("a change elsewhere", "dev", patch("serviceaccounts", "a", _CHANGES["a label"], ELSEWHERE))
