"""Free TCP ports on loopback."""

import contextlib
import socket

from agent_identities.errors import ClusterError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different free ports. Another process can take a port before it is used, so callers must be able to retry."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind((LOOPBACK, 0))
        return [listener.getsockname()[1] for listener in sockets]


def require_free(port: int) -> None:
    """Raise ClusterError if this process cannot listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the API server: TIME_WAIT does not matter
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError as error:
            raise ClusterError(
                f"port {port} on {LOOPBACK}: this user is not permitted to listen on it. Choose a port of 1024 or "
                "higher with --port, or omit --port to use a free port"
            ) from error
        except OSError as error:
            raise port_taken(port) from error


def port_taken(port: int) -> ClusterError:
    """The error for a port that another process listens on."""
    return ClusterError(
        f"port {port} on {LOOPBACK}: another process listens on it (`ss -ltnp 'sport = :{port}'` shows the process). "
        "Stop that process, choose another port with --port, or omit --port to use a free port"
    )
