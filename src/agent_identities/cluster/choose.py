"""The choice of the cluster of a command. The rule is the same for all commands: see docs/clusters.md."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_identities.errors import ClusterError
from agent_identities.kube.access import Access
from agent_identities.kube.kubeconfig import find, load

Kind = Literal["embedded", "kind", "kubeconfig"]


@dataclass(frozen=True, slots=True)
class Choice:
    """An existing cluster with ``access``, or a throw-away cluster of this kind."""

    kind: Kind
    access: Access | None = None

    def __str__(self) -> str:
        if self.access is not None:
            return str(self.access)
        return "a throw-away embedded control plane" if self.kind == "embedded" else "a throw-away kind cluster"


def choose(
    kind: str | None = None,
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    throw_away: bool = False,
) -> Choice:
    """Choose the cluster of a command, without a request to it.

    With ``kind`` embedded or kind, the cluster is a throw-away cluster. Otherwise, it is the cluster of ``kubeconfig``
    or ``context``, or else the cluster that kubectl uses: KUBECONFIG, ~/.kube/config, the ServiceAccount of the pod. If
    there is no such cluster, it is the embedded control plane with ``throw_away``, unless ``kind`` is kubeconfig.
    Raises ClusterError.
    """
    if kind in ("embedded", "kind"):
        if kubeconfig is not None or context is not None:
            raise ClusterError(
                f"--cluster {kind}: creates a cluster for this run. Omit --kubeconfig and --context, or use --cluster "
                "kubeconfig for an existing cluster."
            )
        return Choice("kind" if kind == "kind" else "embedded")
    if kubeconfig is None and context is None and kind is None and throw_away:
        access = find()
        return Choice("kubeconfig", access) if access else Choice("embedded")
    return Choice("kubeconfig", load(kubeconfig, context))
