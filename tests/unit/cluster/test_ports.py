"""Free ports, and the error for a port that is in use."""

import socket

import pytest

from agent_identities.cluster.ports import LOOPBACK, free_ports, require_free
from agent_identities.errors import ClusterError


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        require_free(port)


def test_a_port_in_use_is_refused_with_its_number_and_a_remediation() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} on 127.0.0.1.*--port"):
            require_free(port)
