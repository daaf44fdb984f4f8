"""guards.records: Helm's record of the release, in the namespace of the release."""

from support.guard_probes.model import ELSEWHERE, END, OF_RELEASE, PER_AGENT, ProbeRequest, Table, create, patch, remove
from support.guard_probes.stage import RECORD
from support.server import Json

TABLE = Table("records", "records")
FIRST = "sh.helm.release.v1.$release.v1"
_CHANGE: Json = {"data": {"release": "aGVycw=="}}


def record(
    name: str, labels: Json | None = None, resource: str = "secrets", namespace: str = OF_RELEASE
) -> ProbeRequest:
    return create(resource, {"metadata": {"name": name, "labels": labels or {}}}, namespace)


for verb, what, request in (
    ("write", f"Secret {FIRST}", patch("secrets", FIRST, _CHANGE, OF_RELEASE)),
    ("delete", f"Secret {FIRST}", remove("secrets", FIRST, OF_RELEASE)),
    ("write", "Secret sh.helm.release.v1.$release.v20", record("sh.helm.release.v1.$release.v20")),
    ("write", "Secret harmless", record("harmless", RECORD)),
    ("write", "ConfigMap harmless", record("harmless", RECORD, "configmaps")),
    ("write", "ConfigMap sh.helm.release.v1.$release.v2", record("sh.helm.release.v1.$release.v2", None, "configmaps")),
    ("write", "Secret labelled", patch("secrets", "labelled", {"metadata": {"labels": {"name": "x"}}}, OF_RELEASE)),
    ("write", "Secret plain", patch("secrets", "plain", {"metadata": {"labels": RECORD}}, OF_RELEASE)),
    ("delete", "Secret labelled", remove("secrets", "labelled", OF_RELEASE)),
):
    for who in ("dev", "all verbs", "almost remover", "agent a", "add-on"):
        TABLE.refuses(
            f"{verb} {what}",
            who,
            request,
            f" may not {verb} the {what}: Helm installs and deletes what the record of the release $release says. "
            f"This requires the verb delete on the ValidatingAdmissionPolicy $release.$ns.records{END}",
        )
    for who in ("remover", "cleaner", "administrator"):
        TABLE.admits(f"{verb} {what}", who, request)
    # where the controllers have no accounts of their own; the garbage collector's account may delete everything
    TABLE.admits(f"{verb} {what}", "controller manager", request, modes=(PER_AGENT,))
for name in ("sh.helm.release.v1.$release.v1.v1", "sh.helm.release.v1.other.v1", "sh-helm.release.v1.$release.v1", "s"):
    TABLE.admits(f"the Secret {name}", "dev", record(name))
for labels in ({"owner": "helm", "name": "other"}, {"owner": "flux", "name": "$release"}, {"name": "$release"}):
    TABLE.admits(f"a Secret with {labels}", "dev", record("s", labels))
TABLE.admits("a Secret that becomes nothing of it", "dev", patch("secrets", "plain", _CHANGE, OF_RELEASE))
TABLE.admits("elsewhere", "dev", record("sh.helm.release.v1.$release.v1", namespace=ELSEWHERE))
