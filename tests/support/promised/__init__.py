"""Every object that values promise, worked out a second time, in Python: what the chart prints is held against it.

Nothing here reads a template or its output. Guards are not here, but for the objects around their expressions: what an
expression does is told by the API server (support/guard_probes).
"""

from support.promised.plan import Plan, plan
from support.promised.rights import rights
from support.promised.surroundings import surroundings
from support.promised.workloads import accounts, workloads

__all__ = ["Plan", "accounts", "plan", "rights", "surroundings", "workloads"]
