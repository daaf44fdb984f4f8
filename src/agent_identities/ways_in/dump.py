"""Reads the objects that `kubectl get -o json` or `-o yaml` prints."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent_identities import files
from agent_identities.chart import yaml
from agent_identities.errors import AgentIdentitiesError

STDIN = "-"
_LARGEST = 512 * 2**20  # bytes; fifty thousand bindings with their roles have about 80 million
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")
_COMMAND = "kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o json > dump.json"


class DumpError(AgentIdentitiesError):
    """A dump that cannot be read, or that has no bindings."""


def read(path: Path) -> list[Mapping[str, Any]]:
    """The objects of a dump, with those of Lists. Raises DumpError or YamlError."""
    name = "stdin" if str(path) == STDIN else str(path)
    try:
        content = files.read_stdin(_LARGEST) if name == "stdin" else files.read(path, _LARGEST)
    except OSError as error:
        raise DumpError(f"{name}: {error.strerror}. Make a dump: {_COMMAND}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DumpError(f"{name}: is not UTF-8 text. Make a dump: {_COMMAND}") from None
    found = list(_objects(_documents(text, name), name))
    if not any(each.get("kind") in _BINDINGS for each in found):
        raise DumpError(f"{name}: has no RoleBinding and no ClusterRoleBinding. Make a dump: {_COMMAND}")
    return found


def _documents(text: str, name: str) -> Iterator[Any]:
    if not text.lstrip().startswith("{"):
        yield from (document for _, document in yaml.documents(text, name=name))
        return
    try:
        yield json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DumpError(f"{name}: is not complete JSON ({error}). Make a dump: {_COMMAND}") from None


def _objects(documents: Iterable[Any], name: str) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        if not isinstance(document, Mapping):
            raise DumpError(f"{name}: has a document that is not a Kubernetes object. Make a dump: {_COMMAND}")
        items = document.get("items")
        if str(document.get("kind")).endswith("List") and isinstance(items, list):
            # The items of a typed list have no kind.
            kind, version = str(document["kind"]).removesuffix("List"), document.get("apiVersion")
            common = {"kind": kind, "apiVersion": version} if kind else {}
            yield from _objects(({**common, **each} if isinstance(each, dict) else each for each in items), name)
        elif document:
            yield document
