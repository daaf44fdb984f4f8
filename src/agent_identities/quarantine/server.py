"""The API server during a quarantine: one failure does not stop the rest, but a server that is gone does."""

import contextlib
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from agent_identities.kube.client import Api, ApiError


class ServerGoneError(Exception):
    """The API server does not serve any more: every further request would wait as long as the last one."""


class Server:
    """The API server. Threads may share it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.gone = ""
        """Why it does not serve any more, "" while it does."""
        self._checking = threading.Lock()

    def check(self, error: ApiError) -> None:
        """Raise ServerGoneError where a request failed because the API server is gone."""
        if error.status != 0 and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        with self._checking:
            if not self.gone and not self.api.serves():
                self.gone = str(error)
        if self.gone:
            raise ServerGoneError from error

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """A block of requests. Raises ServerGoneError in place of ApiError where the API server is gone."""
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
        """The object at a path, None where there is none. Raises ApiError, ServerGoneError."""
        try:
            with self.asking():
                return self.api.get(path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
