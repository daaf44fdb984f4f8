"""The ways-in job: compute offline which subjects can become an agent, from a dump of a cluster's objects."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.ways_in.result import WaysIn


def ways_in(agents: "Agents", dump: Path) -> "WaysIn":
    """The subjects in a dump that can become one of the agents, without a cluster.

    ``dump`` is the output of `kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o json` (or yaml),
    ``-`` is stdin. Pods, Secrets, ValidatingAdmissionPolicies and their bindings in the dump are used, too. Raises
    DumpError, YamlError or PolicyError with the object for a dump that cannot be used.
    """
    from agent_identities.inventory.location import as_installed, locate_among
    from agent_identities.inventory.surroundings import surroundings_of
    from agent_identities.inventory.ways_in import entrants
    from agent_identities.rbac import Policy
    from agent_identities.ways_in.dump import read
    from agent_identities.ways_in.result import WaysIn

    _ = agents.values  # invalid files are errors before the dump is read
    manifests = read(dump)
    policy = Policy.from_manifests(manifests)
    declaration = as_installed(partial(locate_among, manifests), agents).declaration
    around = surroundings_of(manifests, {one.namespace for one in declaration.identities})
    return WaysIn(declaration, entrants(declaration, policy, around), len(policy.bindings))
