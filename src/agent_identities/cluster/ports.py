"""Free TCP ports on loopback."""

import contextlib
import socket

from agent_identities.errors import ClusterError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """That many different ports nobody listens on; another process may still be faster, so be ready to ask again."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def require_free(port: int) -> None:
    """Raise ClusterError when the port that a user asked for cannot be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the API server does: TIME_WAIT is no obstacle
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError as error:
            raise ClusterError(
                f"port {port} on {LOOPBACK}: this user may not listen on it. Choose one from 1024 up with --port, "
                "or leave --port out to get a free one"
            ) from error
        except OSError as error:
            raise port_taken(port) from error


def port_taken(port: int) -> ClusterError:
    """The message for a port that somebody else listens on."""
    return ClusterError(
        f"port {port} on {LOOPBACK}: another process listens on it (`ss -ltnp 'sport = :{port}'` names it). "
        "End that process, choose another port with --port, or leave --port out to get a free one"
    )
