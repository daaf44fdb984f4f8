"""The audiences, other than the API server, for which an agent can have tokens."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent_identities.declaration import DEFAULT_EXPIRATION_SECONDS, Declaration

Manifest = Mapping[str, Any]

_HOUR, _DAY = 3600, 86400
_API_SERVER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class Audience:
    """An audience, the accounts that can have tokens for it, and the longest lifetime in seconds; 0 is unknown."""

    name: str
    accounts: tuple[str, ...]
    seconds: int = 0


def audiences(
    values: Mapping[str, Any] | None, declaration: Declaration | None, names: Iterable[str], pods: Iterable[Manifest]
) -> tuple[Audience, ...]:
    """The audiences of these accounts, from the values (None if unknown) and from the volumes of their pods."""
    wanted = set(names)
    found: dict[str, dict[str, int]] = {}
    for account, audience, seconds in (*_declared(values, declaration), *_mounted(pods)):
        if account in wanted and audience and not _is_api_server(audience, values):
            known = found.setdefault(audience, {})
            known[account] = max(seconds, known.get(account, 0))
    return tuple(
        Audience(audience, tuple(sorted(known)), max(known.values())) for audience, known in sorted(found.items())
    )


def _is_api_server(audience: str, values: Mapping[str, Any] | None) -> bool:
    own = (((values or {}).get("guards") or {}).get("tokens") or {}).get("apiAudiences") or ()
    return audience in own or audience.startswith(_API_SERVER)


def _declared(values: Mapping[str, Any] | None, declaration: Declaration | None) -> Iterator[tuple[str, str, int]]:
    """(account, audience, seconds) of each token that the values declare."""
    if values is None or declaration is None:
        return
    guards = values.get("guards") or {}
    of_all = ((guards.get("tokens") or {}).get("audiences") or {}) if guards.get("enabled") else {}
    for one in (*declaration.agents, *declaration.quarantined):
        agent = (values.get("agents") or {}).get(one.entry) or {}
        for audience, seconds in (*_of_agent(agent), *of_all.items()):
            yield one.name, audience, int(seconds)


def _of_agent(agent: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    token = agent.get("token") or {}
    yield token.get("audience", ""), token.get("expirationSeconds", DEFAULT_EXPIRATION_SECONDS)
    for extra in (agent.get("tokens") or {}).values():
        if extra:
            yield extra["audience"], extra.get("expirationSeconds", DEFAULT_EXPIRATION_SECONDS)
    yield from _of_clouds(agent.get("cloud") or {})
    for volume in (agent.get("workload") or {}).get("volumes") or ():
        yield from _of_volume(volume)


def _of_clouds(cloud: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The webhooks' defaults: amazon-eks-pod-identity-webhook and eks-pod-identity-agent a day, Azure an hour."""
    if (aws := cloud.get("aws")) is not None:
        yield aws.get("audience", "sts.amazonaws.com"), aws.get("tokenExpirationSeconds", _DAY)
    if cloud.get("awsPodIdentity"):
        yield "pods.eks.amazonaws.com", _DAY
    if (gcp := cloud.get("gcp")) is not None:
        yield gcp.get("workloadPool", ""), _HOUR
    if (azure := cloud.get("azure")) is not None:
        yield "api://AzureADTokenExchange", azure.get("tokenExpirationSeconds", _HOUR)


def _mounted(pods: Iterable[Manifest]) -> Iterator[tuple[str, str, int]]:
    for pod in pods:
        for volume in pod["spec"].get("volumes") or ():
            for audience, seconds in _of_volume(volume):
                yield pod["spec"].get("serviceAccountName", ""), audience, seconds


def _of_volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for source in (volume.get("projected") or {}).get("sources") or ():
        token = source.get("serviceAccountToken") or {}
        yield token.get("audience", ""), token.get("expirationSeconds", _HOUR)
