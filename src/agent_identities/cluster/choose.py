"""Which cluster a command works on: one rule for all commands. docs/clusters.md has it for users."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_identities.errors import ClusterError
from agent_identities.kube.access import Access
from agent_identities.kube.kubeconfig import find, load

Kind = Literal["embedded", "kind", "kubeconfig"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A cluster that exists, reached by ``access``, or a throw-away one of this kind."""

    kind: Kind
    access: Access | None = None

    def __str__(self) -> str:
        if self.access is not None:
            return str(self.access)
        return "a throw-away embedded control plane" if self.kind == "embedded" else "a throw-away kind cluster"


def choose(
    kind: Kind | None = None,
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    throw_away: bool = False,
) -> Choice:
    """The cluster of a command. Nothing is asked yet.

    ``kind`` embedded or kind: a throw-away cluster, always. Else the kubeconfig or context that is named, else what
    kubectl would use: KUBECONFIG, ~/.kube/config, the ServiceAccount of the pod. Where there is none of them: the
    embedded control plane with ``throw_away``, unless ``kind`` is kubeconfig. Raises ClusterError.
    """
    if kind in ("embedded", "kind"):
        if kubeconfig is not None or context is not None:
            raise ClusterError(
                f"--cluster {kind}: makes a cluster for this run. Leave --kubeconfig and --context out, or use "
                "--cluster kubeconfig for that cluster."
            )
        return Choice(kind)
    if kubeconfig is None and context is None and kind is None and throw_away:
        access = find()
        return Choice("kubeconfig", access) if access else Choice("embedded")
    return Choice("kubeconfig", load(kubeconfig, context))
