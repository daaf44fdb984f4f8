"""Every pod passes Pod Security "restricted"."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent_identities.chart.pods import pod_specs
from agent_identities.checks.registry import Check, Install
from agent_identities.report.model import Finding

# The rules of k8s.io/pod-security-admission, policy/, level restricted. Labels of SELinux, sysctls and the options of
# Windows have no key in the chart's values; the API server judges them.
_VOLUME_TYPES: Final = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}
_SECCOMP: Final = ("RuntimeDefault", "Localhost")
_ADDABLE: Final = "NET_BIND_SERVICE"
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")

Fault = tuple[str, str, str]
"""(field in the spec of the pod, what is wrong with it, the remediation)."""


def _run(install: Install) -> Iterator[Finding]:
    for obj, spec in pod_specs(install.objects):
        for field, what, remediation in (*_of_the_pod(spec), *_of_the_containers(spec)):
            yield CHECK.finding(install.at(obj, field), what, remediation)


def _of_the_pod(spec: Mapping[str, Any]) -> Iterator[Fault]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field, "uses a namespace of the node", f"Remove {field}."
    for index, volume in enumerate(spec.get("volumes") or ()):
        for kind in sorted(volume.keys() - _VOLUME_TYPES - {"name"}):
            allowed = ", ".join(sorted(_VOLUME_TYPES))
            what = f"is a type of volume that Pod Security restricted refuses: {volume.get('name')}"
            yield f"volumes[{index}].{kind}", what, f"Use one of {allowed}."


def _of_the_containers(spec: Mapping[str, Any]) -> Iterator[Fault]:
    pod = spec.get("securityContext") or {}
    for kind in _CONTAINERS:
        for index, container in enumerate(spec.get(kind) or ()):
            field = f"{kind}[{index}]"
            own = container.get("securityContext") or {}
            for below, what, remediation in (*_of_the_context({**pod, **_given(own)}, own), *_of_the_host(container)):
                yield f"{field}.{below}", what, remediation


def _given(context: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a container's security context that replace those of the pod: null does not."""
    return {key: value for key, value in context.items() if value is not None}


def _of_the_context(effective: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Fault]:
    """``effective``: with the settings of the pod that the container does not replace."""
    where = "securityContext."
    if effective.get("runAsNonRoot") is not True:
        yield f"{where}runAsNonRoot", "may be root", "Set runAsNonRoot: true."
    if effective.get("runAsUser") == 0:
        yield f"{where}runAsUser", "is 0, which is root", "Remove runAsUser, or set another user ID."
    if (effective.get("seccompProfile") or {}).get("type") not in _SECCOMP:
        yield f"{where}seccompProfile", "restricts no system calls", "Set seccompProfile: {type: RuntimeDefault}."
    if own.get("privileged"):
        yield f"{where}privileged", "gives all rights on the node", "Remove privileged."
    if own.get("allowPrivilegeEscalation") is not False:
        what = "allows a process to get more privileges"
        yield f"{where}allowPrivilegeEscalation", what, "Set allowPrivilegeEscalation: false."
    if own.get("procMount") not in (None, "Default"):
        yield f"{where}procMount", "shows files of the kernel", "Remove procMount."
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{where}capabilities.drop", "keeps capabilities", "Set capabilities: {drop: [ALL]}."
    if added := [one for one in capabilities.get("add") or () if one != _ADDABLE]:
        yield f"{where}capabilities.add", f"adds {', '.join(added)}", "Remove the capabilities."


def _of_the_host(container: Mapping[str, Any]) -> Iterator[Fault]:
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            yield f"ports[{index}].hostPort", "opens a port of the node", "Remove hostPort, and create a Service."
    for probe in _PROBES:
        for action in ("httpGet", "tcpSocket"):
            if ((container.get(probe) or {}).get(action) or {}).get("host"):
                field = f"{probe}.{action}.host"
                yield field, "makes the kubelet send requests to another host", "Remove host."


CHECK = Check(
    id="pod-security",
    title="every pod passes Pod Security restricted",
    why="A container that is root, or that reaches the node, can take the tokens of all pods of the node.",
    run=_run,
)
