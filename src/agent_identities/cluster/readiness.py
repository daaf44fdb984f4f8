"""Readiness checks: HTTPS requests with a client certificate and verification of the server. Standard library only."""

import http.client
import json
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Client:
    """The paths of the CA certificate that verifies the server, and of the client's certificate and key."""

    ca: str
    certificate: str
    key: str

    def get(self, url: str) -> bytes:
        """The body of the response. Raises OSError if there is no response or its status is not 200."""
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS, context=context
        )
        try:
            connection.request("GET", parts.path)
            response = connection.getresponse()
            body = response.read()
        except http.client.HTTPException as error:
            raise OSError(f"not an HTTP response ({error!r})") from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise OSError(f"HTTP {response.status}")
        return body


@dataclass(frozen=True, slots=True)
class Check:
    """Passes if GET `url` returns 200 and the JSON field `non_empty`, if set, is not empty."""

    url: str
    client: Client
    non_empty: str = ""

    def failure(self) -> str:
        """Why the check does not pass; empty if it passes."""
        try:
            body = self.client.get(self.url)
        except OSError as error:
            return f"{self.url}: {error}"
        if self.non_empty and not json.loads(body).get(self.non_empty):
            return f"{self.url}: {self.non_empty} is still empty"
        return ""
