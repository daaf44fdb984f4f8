"""Requests against a release with all its guards on: the author, the request, and whether the server accepts it.

One file a guard. Each clause of a guard has a request that it refuses, and a similar request
that passes.
"""

from support.guard_probes import (
    accounts,
    bindings,
    controllers,
    default_account,
    deployers,
    ephemeral_containers,
    exec,  # noqa: A004 - the guard's name
    fleet,
    impersonation,
    labels,
    network_policies,
    quarantine,
    records,
    roles,
    run_as,
    short_tokens,
    token_secrets,
    tokens,
    trust_anchor,
)
from support.guard_probes.model import FLEET, PER_AGENT, PER_TIER, Probe

TABLES = (
    default_account.TABLE,
    run_as.TABLE,
    run_as.REVISIONS,
    controllers.TABLE,
    tokens.TABLE,
    token_secrets.TABLE,
    bindings.TABLE,
    bindings.FINALIZERS,
    roles.TABLE,
    accounts.TABLE,
    labels.TABLE,
    network_policies.TABLE,
    trust_anchor.TABLE,
    records.TABLE,
    impersonation.TABLE,
    ephemeral_containers.TABLE,
    exec.TABLE,
    quarantine.ACCOUNTS,
    quarantine.PODS,
    quarantine.BINDINGS,
    short_tokens.TABLE,
    deployers.RUN,
    deployers.EXEC,
    deployers.BIND,
    fleet.RUN_AS,
    fleet.TOKENS,
    fleet.SECRETS,
    fleet.BINDINGS,
    fleet.QUARANTINE,
    fleet.SHORT,
)
PROBES: tuple[Probe, ...] = tuple(probe for table in TABLES for probe in table.probes)

__all__ = ["FLEET", "PER_AGENT", "PER_TIER", "PROBES", "Probe"]
