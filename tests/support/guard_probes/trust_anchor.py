"""guards.trustAnchor: by what pods know the API server."""

from support.guard_probes.model import ELSEWHERE, END, Table, create, patch, remove
from support.guard_probes.stage import service

TABLE = Table("trustAnchor", "trust-anchor")
CA = "kube-root-ca.crt"
_HERS = {"data": {"ca.crt": "hers"}}
for what, request in (
    (f"ConfigMap {CA}", patch("configmaps", CA, _HERS)),
    ("Service kubernetes", create("services", service("kubernetes"))),
):
    for who in ("dev", "all verbs", "almost remover", "agent a", "add-on", "wildcards of Kubernetes"):
        TABLE.refuses(
            what,
            who,
            request,
            f" may not write {what}: pods of $ns would send their tokens to another server. Use another name{END}",
        )
    for who in ("remover", "publisher", "controller manager", "administrator"):
        TABLE.admits(what, who, request)
TABLE.admits("another ConfigMap", "dev", create("configmaps", {"metadata": {"name": "kubernetes"}, **_HERS}))
TABLE.admits("another Service", "dev", create("services", service("kubernetes-api")))
TABLE.admits(
    "a Service of the ConfigMap's kind of name", "dev", patch("services", "plain", {"metadata": {"labels": {"x": "y"}}})
)
TABLE.admits("without the ConfigMap, which comes again", "dev", remove("configmaps", CA))
TABLE.admits("elsewhere", "dev", patch("configmaps", CA, _HERS, ELSEWHERE))
