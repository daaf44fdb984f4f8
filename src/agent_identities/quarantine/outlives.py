"""What outlives a quarantine, and how to end it: connections, tokens for others, kept objects, traffic.

The API server cannot end these, or the command must not, so each is a warning. Pure: from objects to warnings.
"""

import itertools
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent_identities.chart.names import AGENT_LABEL, CHART_LABEL, CHART_NAME
from agent_identities.chart.objects import Key
from agent_identities.quarantine.audiences import Audience
from agent_identities.quarantine.plan import TargetAccounts, controller_of, key_of
from agent_identities.quarantine.result import Outliving, OutlivingKind
from agent_identities.rbac import Request

Manifest = Mapping[str, Any]

_CLOUD_ANNOTATIONS = ("eks.amazonaws.com/", "iam.gke.io/", "azure.workload.identity/")
_LONG_SUBRESOURCES = ("exec", "attach", "portforward", "proxy", "log", "*")
_TOKEN_OF = "kubernetes.io/service-account.name"  # noqa: S105  # the key of an annotation
_SHOWN = 5


def connections(target: TargetAccounts, rights: Iterable[Request] | None) -> Iterator[Outliving]:
    """Watches and sessions, if the rights allow them; ``rights`` is None if they are unknown."""
    if rights is not None and not any(_stays_open(request) for request in rights):
        return
    yield Outliving(
        OutlivingKind.CONNECTION,
        f"watches, and exec, attach, port-forward and `logs --follow` sessions that {some(target.names)} opened "
        "before. They go on until their connections close: the API server checks rights only when a request begins",
        "Connections of the deleted pods end with the pods. To end the others, as with a stolen token: close the "
        "connections of the client at the load balancer, or restart the API servers. A session also ends with the pod "
        "that it is connected to.",
    )


def _stays_open(request: Request) -> bool:
    return request.verb in ("watch", "*") or request.subresource in _LONG_SUBRESOURCES or request.resource == "*"


def tokens_elsewhere(namespace: str, audiences: Iterable[Audience]) -> Iterator[Outliving]:
    """Tokens for other audiences than the API server: these services do not ask the API server."""
    for audience in audiences:
        until = f"at most {audience.seconds} s after their issue" if audience.seconds else "as long as it chose"
        yield Outliving(
            OutlivingKind.AUDIENCE,
            f"tokens of {some(audience.accounts)} for the audience {audience.name}. They are valid there until they "
            f"expire ({until}): such a service checks only the signature",
            f"Remove the trust in system:serviceaccount:{namespace}:{audience.accounts[0]} at {audience.name}.",
        )


def cloud_identities(accounts: Iterable[Manifest]) -> Iterator[Outliving]:
    """Cloud identities of the accounts: credentials that the cloud has issued stay valid."""
    names = [
        account["metadata"]["name"]
        for account in accounts
        if any(key.startswith(_CLOUD_ANNOTATIONS) for key in account["metadata"].get("annotations") or {})
    ]
    if names:
        yield Outliving(
            OutlivingKind.CLOUD,
            f"the cloud identity of {some(names)}: credentials that the cloud has issued stay valid",
            "Disable the identity in the cloud, too.",
        )


def held(item: Manifest, path: str) -> Outliving:
    """An object that finalizers keep, with the field managers that set them. ``path`` is for kubectl."""
    metadata = item["metadata"]
    finalizers = list(metadata["finalizers"])
    rights = " It has no subjects any more." if "Binding" in item["kind"] else ""
    tokens = " Its tokens are refused about a minute after the deletion." if item["kind"] == "ServiceAccount" else ""
    managers = _managers_of_finalizers(metadata)
    set_by = f" (set by {', '.join(managers)})" if managers else ""
    return Outliving(
        OutlivingKind.FINALIZER,
        f"{key_of(item)}: {'the finalizers' if len(finalizers) > 1 else 'the finalizer'} {', '.join(finalizers)}"
        f"{set_by} keeps it.{rights}{tokens}".rstrip("."),
        "Its controller removes a finalizer. If the controller does not run, or is not yours: "
        f"kubectl {path} --type=merge -p " + shlex.quote('{"metadata":{"finalizers":null}}'),
        key_of(item),
    )


def _managers_of_finalizers(metadata: Manifest) -> list[str]:
    return [
        str(entry.get("manager", ""))
        for entry in metadata.get("managedFields") or ()
        if "f:finalizers" in ((entry.get("fieldsV1") or {}).get("f:metadata") or {})
    ]


def kept_by_annotations(items: Iterable[Manifest]) -> Iterator[Outliving]:
    """Objects that Helm or a GitOps controller keeps or creates again because of an annotation."""
    for item in items:
        annotations = item["metadata"].get("annotations") or {}
        found = [f"{key}: {value}" for key, value in annotations.items() if _keeps(key, value)]
        if found:
            yield Outliving(
                OutlivingKind.ANNOTATION,
                f"{key_of(item)} has the annotation {', '.join(found)}: the value `quarantined: true` alone does not "
                "remove the object, and a hook creates it again at each upgrade without this value",
                "Remove the annotation from the values, and run this command after each upgrade until then.",
                key_of(item),
            )


def _keeps(key: str, value: str) -> bool:
    options = {option.strip() for option in value.split(",")}
    return (
        key in ("helm.sh/resource-policy", "helm.sh/hook", "argocd.argoproj.io/hook")
        or (key == "argocd.argoproj.io/sync-options" and bool(options & {"Prune=false", "Delete=false"}))
        or (key == "kustomize.toolkit.fluxcd.io/prune" and value == "disabled")
    )


def groups(found: Iterable[tuple[Key, str]]) -> Iterator[Outliving]:
    """Bindings to groups: no subject of them is the agent alone."""
    for binding, group in dict.fromkeys(found):
        where = f"-n {binding.namespace} " if binding.namespace else ""
        yield Outliving(
            OutlivingKind.GROUP,
            f"{binding} to Group {group}, which also grants rights to others. The agent loses them with its tokens; a "
            "user who can impersonate the agent has them",
            "To end it, bind the other members by name, then: "
            f"kubectl {where}delete {binding.kind.lower()} {binding.name}",
            binding,
        )


def controllers(
    pods: Iterable[Manifest], deployments: Iterable[Manifest], target: TargetAccounts
) -> Iterator[Outliving]:
    """Controllers that are not of the chart and ran pods as the target; ``deployments`` are those of the chart."""
    ours = {deployment["metadata"]["name"] for deployment in deployments}
    found: dict[str, Manifest] = {}
    for pod in pods:
        if owner := controller_of(pod, ours):
            found.setdefault(owner, pod)
    for owner, pod in found.items():
        kind, name = owner.split(" ")
        if kind == "ReplicaSet" and "pod-template-hash" in (pod["metadata"].get("labels") or {}):
            kind, name = "Deployment", name.rpartition("-")[0]
        yield Outliving(
            OutlivingKind.CONTROLLER,
            f"{owner}, which ran pods as {pod['spec']['serviceAccountName']}. It is not of this chart, and creates "
            "pods again if the ServiceAccount exists again",
            f"kubectl -n {target.namespace} delete {kind.lower()} {name}",
        )


def impostors(pods: Iterable[Manifest], target: TargetAccounts) -> Iterator[Outliving]:
    """Pods with the label of the target that run as another ServiceAccount."""
    names, agents = set(target.names), target.labels
    for pod in pods:
        agent = (pod["metadata"].get("labels") or {}).get(AGENT_LABEL)
        account = pod["spec"].get("serviceAccountName", "default")
        if agent in agents and account not in names:
            yield Outliving(
                OutlivingKind.POD,
                f"{key_of(pod)}, which has the label of {agent} and runs as {account}",
                f"kubectl -n {target.namespace} delete pod {pod['metadata']['name']}",
                key_of(pod),
            )


def open_traffic(policies: Iterable[Manifest], labels: Sequence[Mapping[str, str]]) -> Iterator[Outliving]:
    """NetworkPolicies that are not of the chart and allow traffic of pods with one of these sets of labels.

    Policies add up: the policy of the quarantine, without rules, does not close what another policy opens.
    """
    for policy in policies:
        metadata, spec = policy["metadata"], policy["spec"]
        if (metadata.get("labels") or {}).get(CHART_LABEL) == CHART_NAME:
            continue
        selector = spec.get("podSelector") or {}
        if (spec.get("ingress") or spec.get("egress")) and any(_selects(selector, each) for each in labels):
            key = key_of(policy)
            where = f"-n {key.namespace} " if key.namespace else ""
            yield Outliving(
                OutlivingKind.TRAFFIC,
                f"{key}, which is not of this chart and allows traffic of pods with the agent's label. Policies "
                "add up: the NetworkPolicy of the quarantine does not deny this traffic",
                f"Exclude {AGENT_LABEL} from its selector, or: kubectl {where}delete {key.kind.lower()} {key.name}",
                key,
            )


def open_cilium_traffic(
    policies: Iterable[Manifest], target: TargetAccounts, labels: Sequence[Mapping[str, str]]
) -> Iterator[Outliving]:
    """`open_traffic` for the policies of Cilium: a policy can have several selectors, and labels have a source.

    Cilium also selects by the namespace and the ServiceAccount of a pod (docs.cilium.io, "Endpoint identity").
    """
    alike = [
        {**each, "io.kubernetes.pod.namespace": target.namespace, "io.cilium.k8s.policy.serviceaccount": name}
        for each in labels
        for name in target.names
    ]
    for policy in policies:
        rules = [each for each in (policy.get("spec"), *(policy.get("specs") or ())) if each]
        plain = ({**rule, "podSelector": _without_source(rule.get("endpointSelector") or {})} for rule in rules)
        selecting = ({**policy, "spec": rule} for rule in plain if "nodeSelector" not in rule)
        yield from itertools.islice(open_traffic(selecting, alike), 1)


def _without_source(selector: Manifest) -> Manifest:
    """A selector of Cilium without the sources of its labels: ``k8s:app`` and ``any:app`` are ``app``."""
    return {
        "matchLabels": {_plain(key): value for key, value in (selector.get("matchLabels") or {}).items()},
        "matchExpressions": [{**each, "key": _plain(each["key"])} for each in selector.get("matchExpressions") or ()],
    }


def _plain(key: str) -> str:
    source, _, label = key.partition(":")
    return label if source in ("k8s", "any") and label else key


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches (k8s.io/apimachinery pkg/apis/meta/v1 LabelSelectorAsSelector)."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(each, labels) for each in selector.get("matchExpressions") or ())


def _matches(expression: Manifest, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    if expression["operator"] == "In":
        return labels.get(key) in values
    if expression["operator"] == "NotIn":
        return labels.get(key) not in values
    return (key in labels) is (expression["operator"] == "Exists")


def token_secrets(secrets: Iterable[Manifest], target: TargetAccounts) -> Iterator[Outliving]:
    """Secrets with a token of the target that still exist."""
    names = set(target.names)
    for secret in secrets:
        account = (secret["metadata"].get("annotations") or {}).get(_TOKEN_OF)
        if account in names:
            key = key_of(secret)
            yield Outliving(
                OutlivingKind.SECRET,
                f"{key} with a token of {account} that never expires. The API server refuses the token while the "
                "ServiceAccount does not exist, and Kubernetes deletes the Secret",
                f"If the Secret stays: kubectl -n {key.namespace} delete secret {key.name}",
                key,
            )


def some(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
