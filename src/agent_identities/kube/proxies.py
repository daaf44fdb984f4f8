"""The proxy for a server: HTTPS_PROXY and NO_PROXY, as Go programs such as kubectl read them.

Source: golang.org/x/net/http/httpproxy/proxy.go.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from agent_identities.errors import ClusterError

SCHEMES = ("http", "https", "socks5")
"""The schemes of ``proxy-url`` in a kubeconfig. HTTPS_PROXY may also have socks5h."""


def is_proxy(url: str, schemes: tuple[str, ...] = SCHEMES) -> bool:
    """Whether a text is the URL of a proxy. It may contain a password: no message repeats it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and port != 0 and not re.search(r"[\s\x00-\x1f\x7f]", url)


def proxy_from_environment(server: str, environment: Mapping[str, str]) -> str:
    """The URL of the proxy for an https URL, "" for none. There is no proxy for a server on loopback.

    Raises ClusterError where HTTPS_PROXY is not a URL.
    """
    url, proxy = urlsplit(server), _variable(environment, "HTTPS_PROXY")
    if not proxy or not _wanted(url.hostname or "", url.port or 443, _variable(environment, "NO_PROXY")):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not is_proxy(proxy, (*SCHEMES, "socks5h")):
        raise ClusterError(f"HTTPS_PROXY: not a URL of {', '.join(SCHEMES)}. Write http://HOST:PORT, or unset it.")
    return proxy


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _wanted(host: str, port: int, no_proxy: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return False
    return not any(
        _matches(entry, host, port, address) for each in no_proxy.split(",") if (entry := each.strip().lower())
    )


def _matches(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Whether an entry of NO_PROXY matches a server: ``*``, a network, or an address or domain with or without port."""
    if entry == "*":
        return True
    try:
        network = ipaddress.ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        network = None
    if network is not None:
        return address is not None and address in network
    name, wanted_port = _split(entry)
    if wanted_port not in ("", str(port)):
        return False
    if (exact := _address(name)) is not None:
        return address == exact
    name = name.removeprefix("*")
    return bool(name) and (host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, str]:
    """(host, port) of ``host``, ``host:port``, ``[v6]:port`` or ``v6``."""
    if _address(entry.strip("[]")) is not None:
        return entry.strip("[]"), ""
    try:
        parts = urlsplit(f"//{entry}")
        return parts.hostname or "", str(parts.port or "")
    except ValueError:
        return entry, ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
