"""An API server that gives the answers of a test, over verified TLS: a real API server does not fail on request."""

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent_identities.cluster.pki import Authority

Answer = tuple[int, Any] | None
"""Status and body (a str is sent as it is, anything else as JSON); None breaks the connection off."""

Respond = Callable[["Handler"], Answer]


class Played(ThreadingHTTPServer):
    """Sends its answers in order and repeats the last answer; or calls a function for each request."""

    daemon_threads = True

    def __init__(self, answers: list[Answer], respond: Respond | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.respond = answers, respond
        self.requests: list[tuple[str, str, str | None]] = []
        self.headers: list[list[tuple[str, str]]] = []
        self.shown: list[bool] = []  # whether there was a client certificate
        self.connections = 0
        self.released = threading.Event()  # set when the test is over: hanging requests end

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    def start(self, authority: Authority, name: str = "127.0.0.1") -> "Played":
        pair = authority.issue("server", "server", server_names=(name,))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.load_verify_locations(authority.files.certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that refuse the certificate: they are expected to."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Played

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _answer(self) -> None:
        self.sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.requests.append((self.command, self.path, self.headers.get("authorization")))
        self.server.headers.append(list(self.headers.items()))
        self.server.shown.append(bool(self.connection.getpeercert(binary_form=True)))
        if self.server.respond is not None:
            answer = self.server.respond(self)
        else:
            answers = self.server.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            self.close_connection = True
            return
        status, body = answer
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if status == 429 or status >= 500:
            self.send_header("retry-after", "0")
        if 300 <= status < 400:
            self.send_header("location", f"{self.server.url}/elsewhere")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815 # http.server names them

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # http.server names it
        pass
