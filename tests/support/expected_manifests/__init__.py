"""Every object that the values declare: the manifests that the chart's output is compared with.

Nothing here reads a template or its output. What an agent holds comes from the declaration; the names, labels and
fields of the objects are modelled here. Guards are not here: the invariant `guards` compares the objects around their
expressions, and the API server judges the expressions (support.guard_probes).
"""

from support.expected_manifests.plan import Plan, plan
from support.expected_manifests.rights import rights
from support.expected_manifests.surroundings import surroundings
from support.expected_manifests.workloads import accounts, workloads

__all__ = ["Plan", "accounts", "plan", "rights", "surroundings", "workloads"]
