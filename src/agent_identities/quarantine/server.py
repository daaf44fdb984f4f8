"""The API server during a quarantine. A failed request does not stop the run; a server that does not serve does."""

import contextlib
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from agent_identities.kube.client import Api, ApiError


class ServerGoneError(Exception):
    """The API server does not serve any more: each further request would only time out."""


class Server:
    """The API server. Threads may share it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.gone = ""
        """The reason why the API server does not serve any more, "" while it serves."""
        self._checking = threading.Lock()

    def check(self, error: ApiError) -> None:
        """Raise ServerGoneError if a request failed because the API server does not serve any more."""
        if error.status != 0 and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        with self._checking:
            if not self.gone and not self.api.serves():
                self.gone = str(error)
        if self.gone:
            raise ServerGoneError from error

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """A block of requests. Raises ServerGoneError instead of ApiError if the API server does not serve any more."""
        try:
            yield
        except ApiError as error:
            self.check(error)
            raise

    def list(self, kind: str, path: str) -> list[dict[str, Any]]:
        """All items of a list, each with its kind. Raises ApiError, ServerGoneError."""
        with self.asking():
            return [{"kind": kind, **item} for item in self.api.list_all(path)]

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a path, None if it does not exist. Raises ApiError, ServerGoneError."""
        try:
            with self.asking():
                return self.api.get(path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
