"""Audit logs in the forms that clouds, container runtimes and forwarders publish. All values are made up.

Each function gets audit events and returns the bytes of a log. Its docstring names the source of the form.
"""

import base64
import gzip
import json
from collections.abc import Callable, Sequence

from support.audit import Json

Form = Callable[[Sequence[Json]], bytes]

TIME = "2026-11-24T03:46:08.738864Z"


def text(event: Json) -> str:
    return json.dumps(event, separators=(",", ":"))


def lines(made: Sequence[Json | str]) -> bytes:
    return "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in made).encode()


# ---- the API server


def native(events: Sequence[Json]) -> bytes:
    """https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#log-backend"""
    return lines([text(each) for each in events])


def webhook(events: Sequence[Json]) -> bytes:
    """https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#webhook-backend"""
    items = [{key: each[key] for key in each if key not in ("kind", "apiVersion")} for each in events]
    return json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}).encode()


def indented(events: Sequence[Json]) -> bytes:
    """`jq .`: https://jqlang.org/manual/"""
    return "".join(json.dumps(each, indent=2) + "\n" for each in events).encode()


def sorted_list(events: Sequence[Json]) -> bytes:
    """`jq -S -s '{kind: "EventList", ...}'`: the items come before the kind."""
    items = [{key: each[key] for key in each if key not in ("kind", "apiVersion")} for each in events]
    made = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items}
    return json.dumps(made, indent=4, sort_keys=True).encode()


def array(events: Sequence[Json]) -> bytes:
    """`jq -s .`"""
    return json.dumps(events, indent=2).encode()


def compact_array(events: Sequence[Json]) -> bytes:
    """`jq -s -c .`"""
    return json.dumps(events, separators=(",", ":")).encode() + b"\n"


def array_of_lines(events: Sequence[Json]) -> bytes:
    """Each element on a line of its own, as some exports write arrays."""
    return b"[\n" + ",\n".join(map(text, events)).encode() + b"\n]\n"


def byte_order_mark(events: Sequence[Json]) -> bytes:
    """Editors on Windows, each time that a file is saved."""
    return b"\xef\xbb\xbf" + native(events)


def utf_16(events: Sequence[Json]) -> bytes:
    """`> file` in Windows PowerShell 5."""
    return native(events).decode().encode("utf-16")


def windows_lines(events: Sequence[Json]) -> bytes:
    return native(events).replace(b"\n", b"\r\n")


def truncated_in_place(events: Sequence[Json]) -> bytes:
    """logrotate's copytruncate with a writer that does not append: the file starts with NUL characters."""
    return b"\0" * 5_000 + native(events)


# ---- EKS


def cloudwatch(events: Sequence[Json]) -> bytes:
    """https://docs.aws.amazon.com/cli/latest/reference/logs/filter-log-events.html"""
    return json.dumps({"events": _cloudwatch_events(events), "searchedLogStreams": []}, indent=4).encode()


def cloudwatch_stream(events: Sequence[Json]) -> bytes:
    """https://docs.aws.amazon.com/cli/latest/reference/logs/get-log-events.html"""
    tokens = {"nextForwardToken": "f/1/s", "nextBackwardToken": "b/1/s"}
    return json.dumps({"events": _cloudwatch_events(events), **tokens}).encode()


def cloudwatch_tail(events: Sequence[Json]) -> bytes:
    """https://docs.aws.amazon.com/cli/latest/reference/logs/tail.html"""
    return lines([f"2026-11-24T03:46:08.738000+00:00 kube-apiserver-audit-0a1b2c {text(each)}" for each in events])


def s3_export(events: Sequence[Json]) -> bytes:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html"""
    return gzip.compress(lines([f"2026-11-24T03:46:08.738Z {text(each)}" for each in events]))


def firehose(events: Sequence[Json]) -> bytes:
    """Records one after the other, each gzip: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html"""
    return b"".join(gzip.compress(json.dumps(_subscription([each])).encode()) for each in events)


def firehose_twice(events: Sequence[Json]) -> bytes:
    """The same, with the compression of Firehose in addition to that of CloudWatch."""
    return gzip.compress(firehose(events))


def firehose_unpacked(events: Sequence[Json]) -> bytes:
    """With decompression, Firehose writes the records without line endings."""
    return b"".join(json.dumps(_subscription([each])).encode() for each in events)


def kinesis(events: Sequence[Json]) -> bytes:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"""
    packed = base64.b64encode(gzip.compress(json.dumps(_subscription(events)).encode())).decode()
    return json.dumps({"Records": [{"kinesis": {"data": packed}, "eventSource": "aws:kinesis"}]}).encode()


def _cloudwatch_events(events: Sequence[Json]) -> list[Json]:
    return [
        {
            "logStreamName": "kube-apiserver-audit-0a1b2c",
            "timestamp": 1_795_000_000_000,
            "message": text(each),
            "ingestionTime": 1_795_000_000_100,
            "eventId": "1",
        }
        for each in events
    ]


def _subscription(events: Sequence[Json]) -> Json:
    return {
        "messageType": "DATA_MESSAGE",
        "owner": "1",
        "logGroup": "/aws/eks/c/cluster",
        "logStream": "kube-apiserver-audit-0a1b2c",
        "subscriptionFilters": ["f"],
        "logEvents": [{"id": "1", "timestamp": 1, "message": text(each)} for each in events],
    }


# ---- AKS


def aks_record(event: Json, category: str = "kube-audit") -> Json:
    return {
        "time": TIME,
        "category": category,
        "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read",
        "resourceId": "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/C",
        "properties": {"log": text(event) + "\n", "stream": "stdout", "pod": "kube-apiserver-a-b", "containerID": "c"},
    }


def event_hub(events: Sequence[Json]) -> bytes:
    """https://learn.microsoft.com/azure/azure-monitor/essentials/resource-logs#send-to-azure-event-hubs"""
    return json.dumps({"records": [aks_record(each) for each in events]}).encode()


def storage_account(events: Sequence[Json]) -> bytes:
    """https://learn.microsoft.com/azure/azure-monitor/essentials/resource-logs#send-to-azure-storage"""
    return lines([aks_record(each) for each in events])


def azure_diagnostics(events: Sequence[Json]) -> bytes:
    """https://learn.microsoft.com/azure/azure-monitor/reference/tables/azurediagnostics, by `az monitor ... query`"""
    rows = [
        {"Category": "kube-audit", "TableName": "PrimaryResult", "TimeGenerated": TIME, "log_s": text(each)}
        for each in events
    ]
    return json.dumps(rows, indent=2).encode()


def aks_row(event: Json, table: str = "AKSAudit") -> Json:
    return {
        "Annotations": json.dumps(event.get("annotations", {})),
        "AuditId": event["auditID"],
        "Level": "Metadata",
        "ObjectRef": json.dumps(event.get("objectRef", {})),
        "PodName": "kube-apiserver-a-b",
        "RequestReceivedTime": event["requestReceivedTimestamp"].replace("Z", "0Z"),
        "RequestUri": event["requestURI"],
        "ResponseStatus": json.dumps(event["responseStatus"]),
        "Stage": event["stage"],
        "TimeGenerated": TIME,
        "Type": table,
        "User": json.dumps(event["user"]),
        "Verb": event["verb"],
    }


def aks_audit(events: Sequence[Json]) -> bytes:
    """https://learn.microsoft.com/azure/azure-monitor/reference/tables/aksaudit, by `az monitor ... query`"""
    return json.dumps([aks_row(each) for each in events], indent=2).encode()


# ---- OpenShift


def node_logs(events: Sequence[Json]) -> bytes:
    """https://docs.redhat.com/en/documentation/openshift_container_platform/4.19/html/security_and_compliance/audit-log-view"""
    return lines([f"master-0.cluster.example {text(each)}" for each in events])


# ---- container runtimes


def cri(events: Sequence[Json]) -> bytes:
    """https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md"""
    return lines([f"2026-11-24T03:46:08.738864123Z stdout F {text(each)}" for each in events])


def cri_divided(events: Sequence[Json]) -> bytes:
    """The same: a runtime divides long lines. Lines of the other stream can be between the parts."""
    made = []
    for each in events:
        whole = text(each)
        made += [f"{TIME} stdout P {whole[:200]}", f"{TIME} stderr F I1124 03:46:08 1 a.go:1]"]
        made += [f"{TIME} stdout P {whole[200:400]}", f"{TIME} stdout F {whole[400:]}"]
    return lines([each for each in made if "stderr" not in each])


def docker(events: Sequence[Json]) -> bytes:
    """https://docs.docker.com/engine/logging/drivers/json-file/"""
    return lines([{"log": f"{text(each)}\n", "stream": "stdout", "time": TIME} for each in events])


def docker_divided(events: Sequence[Json]) -> bytes:
    """The same: Docker divides long lines, and only the last part has the line ending."""
    parts = [part for each in events for part in (text(each)[:300], text(each)[300:] + "\n")]
    return lines([{"log": part, "stream": "stdout", "time": TIME} for part in parts])


def kubectl_logs(events: Sequence[Json]) -> bytes:
    """`kubectl logs --prefix --timestamps`, with --audit-log-path=-"""
    return lines([f"[pod/kube-apiserver-a/kube-apiserver] {TIME} {text(each)}" for each in events])


# ---- forwarders


def fluent_bit(events: Sequence[Json]) -> bytes:
    """https://docs.fluentbit.io/manual/data-pipeline/inputs/tail"""
    return lines([{"date": 1.5, "log": text(each)} for each in events])


def fluent_bit_cri(events: Sequence[Json]) -> bytes:
    """https://docs.fluentbit.io/manual/data-pipeline/parsers: the parser cri keeps the tag of the runtime."""
    parts = [part for each in events for part in ((text(each)[:300], "P"), (text(each)[300:], "F"))]
    return lines([{"time": TIME, "stream": "stdout", "logtag": tag, "log": part} for part, tag in parts])


def fluent_bit_merged(events: Sequence[Json]) -> bytes:
    """https://docs.fluentbit.io/manual/data-pipeline/filters/kubernetes: Merge_Log_Key with Keep_Log On."""
    return lines([{"log": text(each), "log_processed": each, "kubernetes": {"pod_name": "a"}} for each in events])


def fluentd(events: Sequence[Json]) -> bytes:
    """https://docs.fluentd.org/output/file: time, tag and record."""
    return lines([f"{TIME}\tkube.audit\t{json.dumps({'msg': text(each)})}" for each in events])


def vector(events: Sequence[Json]) -> bytes:
    """https://vector.dev/docs/reference/configuration/sources/file/"""
    return lines([{"file": "/a", "host": "h", "message": text(each), "source_type": "file"} for each in events])


def logstash(events: Sequence[Json]) -> bytes:
    """https://www.elastic.co/docs/reference/ecs/ecs-event: the text in event.original, and the parsed fields."""
    return lines([{"@timestamp": TIME, "event": {"original": text(each)}, "message": text(each)} for each in events])


def elasticsearch(events: Sequence[Json]) -> bytes:
    """https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-search"""
    hits = [{"_index": "i", "_id": "1", "_source": {"kubernetes": {"audit": each}}} for each in events]
    return json.dumps({"took": 1, "hits": {"total": {"value": 1}, "hits": hits}}).encode()


def splunk(events: Sequence[Json]) -> bytes:
    """https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector"""
    return lines([{"time": 1.5, "host": "h", "sourcetype": "_json", "event": each} for each in events])


def splunk_export(events: Sequence[Json]) -> bytes:
    """https://docs.splunk.com/Documentation/Splunk/latest/RESTREF/RESTsearch#search.2Fjobs.2Fexport"""
    return lines([{"preview": False, "offset": 0, "result": {"_raw": text(each), "host": "h"}} for each in events])


def loki(events: Sequence[Json]) -> bytes:
    """https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time"""
    values = [["1795000000000000000", text(each)] for each in events]
    result = [{"stream": {"app": "kube-apiserver"}, "values": values}]
    return json.dumps({"status": "success", "data": {"resultType": "streams", "result": result}}).encode()


def logcli(events: Sequence[Json]) -> bytes:
    """https://grafana.com/docs/loki/latest/query/logcli/: time, labels and line."""
    return lines([f'{TIME} {{app="kube-apiserver"}} {text(each)}' for each in events])


def syslog(events: Sequence[Json]) -> bytes:
    """https://www.rfc-editor.org/rfc/rfc5424#section-6.5"""
    start = '<134>1 2026-11-24T03:46:08.738Z h kube-apiserver 1 - [origin@1 ip="10.0.0.1"]'
    return lines([f"{start} {text(each)}" for each in events])


def journal_json(events: Sequence[Json]) -> bytes:
    """`journalctl -o json`: https://systemd.io/JOURNAL_EXPORT_FORMATS/"""
    return lines([{"__CURSOR": "s=1", "_PID": "1", "MESSAGE": text(each)} for each in events])


def journal_bytes(events: Sequence[Json]) -> bytes:
    """The same, for a message that is not plain text."""
    return lines([{"__CURSOR": "s=1", "MESSAGE": list(text(each).encode())} for each in events])


def journal_export(events: Sequence[Json]) -> bytes:
    """`journalctl -o cat`, and -o short: a prefix."""
    return lines([f"Nov 24 03:46:08 h kube-apiserver[1]: {text(each)}" for each in events])


FORMS: tuple[Form, ...] = (
    *(native, webhook, indented, sorted_list, array, compact_array, array_of_lines),
    *(byte_order_mark, utf_16, windows_lines, truncated_in_place),
    *(cloudwatch, cloudwatch_stream, cloudwatch_tail, s3_export),
    *(firehose, firehose_twice, firehose_unpacked, kinesis),
    *(event_hub, storage_account, azure_diagnostics, aks_audit),
    *(node_logs, cri, cri_divided, docker, docker_divided, kubectl_logs),
    *(fluent_bit, fluent_bit_cri, fluent_bit_merged, fluentd, vector, logstash, elasticsearch),
    *(splunk, splunk_export, loki, logcli, syslog, journal_json, journal_bytes, journal_export),
)


# ---- GKE, which does not have the whole event


def gke_entry(
    method: str = "io.k8s.core.v1.pods.list",
    resource: str = "core/v1/namespaces/team/pods",
    caller: str = "system:serviceaccount:team:reader",
    log: str = "data_access",
    **payload: object,
) -> Json:
    """https://cloud.google.com/logging/docs/audit/understanding-audit-logs#sample"""
    return {
        "insertId": f"{method}/{resource}/{caller}",
        "labels": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": 'RBAC: allowed by RoleBinding "reader-binding/team" of Role "r" '
            'to ServiceAccount "reader/team"',
        },
        "logName": f"projects/p/logs/cloudaudit.googleapis.com%2F{log}",
        "operation": {"first": True, "id": f"{method}/{resource}/{caller}", "last": True, "producer": "k8s.io"},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": {"principalEmail": caller},
            "authorizationInfo": [{"granted": True, "permission": method, "resource": resource}],
            "methodName": method,
            "requestMetadata": {"callerIp": "10.0.0.1", "callerSuppliedUserAgent": "kubectl"},
            "resourceName": resource,
            "serviceName": "k8s.io",
            "status": {},
            **payload,
        },
        "resource": {"labels": {"cluster_name": "c", "location": "l", "project_id": "p"}, "type": "k8s_cluster"},
        "timestamp": "2026-11-24T03:46:08.738864Z",
    }
