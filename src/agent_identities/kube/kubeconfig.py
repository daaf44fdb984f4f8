"""Read kubeconfigs as kubectl does: the choice of files, their merge, and the selected context.

Source: k8s.io/client-go/tools/clientcmd/loader.go and rest/config.go.
"""

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from agent_identities import files
from agent_identities.kube.access import Access, Entry, KubeconfigError, Place, access_of
from agent_identities.kube.credentials import TokenFile
from agent_identities.kube.proxies import proxy_from_environment

_DEEPEST, _MOST_KEYS = 100, 10_000  # levels of a kubeconfig, and keys of one of its maps

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The directory of a pod's token and of the cluster's certificate authority."""


def load(
    kubeconfig: Path | None = None,
    context: str | None = None,
    *,
    service_account: Path = SERVICE_ACCOUNT,
    environment: Mapping[str, str] = os.environ,
) -> Access:
    """The access that `find` returns. Raises KubeconfigError if there is none, or if it cannot be used."""
    found = find(kubeconfig, context, service_account=service_account, environment=environment)
    if found is None:
        home = _home(environment)
        raise KubeconfigError(
            f"{f'{home}: no such file' if home else 'HOME is not set'}, and KUBECONFIG is not set. "
            "Name a kubeconfig with --kubeconfig, or "
            "start a control plane: agent-identities up"
        )
    return found


def find(
    kubeconfig: Path | None = None,
    context: str | None = None,
    *,
    service_account: Path = SERVICE_ACCOUNT,
    environment: Mapping[str, str] = os.environ,
) -> Access | None:
    """The access that kubectl would use: from this file, else KUBECONFIG, else ~/.kube/config, else from the pod.

    None if none of them exists. ``context`` is None for the current context. No connection is made, and no plugin runs.
    Raises KubeconfigError.
    """
    named = [Path(each) for each in dict.fromkeys(environment.get("KUBECONFIG", "").split(os.pathsep)) if each]
    home = _home(environment)
    chosen = [kubeconfig] if kubeconfig else named if environment.get("KUBECONFIG") else [home] if home else []
    configs = [config for path in chosen if (config := _read(path)) is not None]
    if kubeconfig and not configs:
        raise KubeconfigError(
            f"{kubeconfig}: no such file. Name a kubeconfig with --kubeconfig, or start a control plane: "
            "agent-identities up"
        )
    merged = _merge(configs)
    if not (merged.empty and kubeconfig is None):
        return merged.access(context, kubeconfig, environment)
    if context:
        _unknown(context, chosen, ())
    if (pod := in_cluster(service_account, environment)) is not None:
        return pod
    if environment.get("KUBECONFIG"):
        raise KubeconfigError(
            f"KUBECONFIG={environment['KUBECONFIG']}: no such file, or the file is empty. Correct KUBECONFIG, or unset "
            f"it to use {home or '~/.kube/config'}."
        )
    return None


def in_cluster(service_account: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> Access | None:
    """The access of the pod in which this process runs, with its ServiceAccount token; None outside of pods.

    Raises KubeconfigError if the pod has a token, but no certificates to verify the API server.
    """
    host, port = (environment.get(f"KUBERNETES_SERVICE_{name}", "") for name in ("HOST", "PORT"))
    token, ca = service_account / "token", service_account / "ca.crt"
    if not (host and port and token.is_file()):
        return None
    try:
        trusted = files.read(ca)
    except OSError as error:
        raise KubeconfigError(
            f"{ca}: {error.strerror}, so the API server cannot be verified. Mount the ConfigMap kube-root-ca.crt."
        ) from None
    where = f"the ServiceAccount of this pod, {service_account}"
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        server=server,
        place=Place(str(service_account), ()),
        credentials=TokenFile(token, where),
        ca=trusted,
        proxy=proxy_from_environment(server, environment),
    )


def _home(environment: Mapping[str, str]) -> Path | None:
    """~/.kube/config; None for a user without a home."""
    home = environment.get("HOME")
    try:
        return (Path(home) if home else Path.home()) / ".kube" / "config"
    except RuntimeError:
        return None


class _Strings(yaml.CSafeLoader):
    """Safe YAML in which a date is a string, as for kubectl.

    The C parser of PyYAML has no limits of its own: it ends the process where too much is nested, and `<<` can make a
    few lines as large as the memory.
    """

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._levels: list[yaml.Node | None] = []
        # Called by the parser after each node; for its stub, the method returns nothing.
        self.ascend_resolver = self._levels.pop  # type: ignore[method-assign, assignment] # see above

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:  # noqa: ARG002 # the parser passes it
        """Called by the parser before each node."""
        self._levels.append(parent)
        if len(self._levels) > _DEEPEST and parent is not None:
            raise yaml.MarkedYAMLError(problem_mark=parent.start_mark)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Called for each mapping, to merge `<<` into it."""
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:
            raise yaml.MarkedYAMLError(problem_mark=node.start_mark)


_Strings.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class _Config:
    """One kubeconfig, or several merged kubeconfigs. ``current`` is "" without a current-context."""

    files: tuple[Path, ...]
    current: str
    clusters: Mapping[str, Entry]
    users: Mapping[str, Entry]
    contexts: Mapping[str, Entry]

    @property
    def empty(self) -> bool:
        return not (self.current or self.clusters or self.users or self.contexts)

    def access(self, context: str | None, kubeconfig: Path | None, environment: Mapping[str, str]) -> Access:
        name = context or self.current
        if not name:
            if not self.contexts:
                raise KubeconfigError(f"{_all(self.files)}: has no contexts. {_A_VALID_ONE}")
            known = ", ".join(self.contexts)
            raise KubeconfigError(
                f"{_all(self.files)}: no current-context. Select a context with --context. Its contexts: {known}."
            )
        if name not in self.contexts:
            _unknown(name, self.files, self.contexts)
        chosen = self.contexts[name]
        cluster = self._of(chosen, "cluster", self.clusters)
        user = self._of(chosen, "user", self.users)
        files = tuple(dict.fromkeys(each.file for each in (chosen, cluster, user)))
        return access_of(cluster, user, Place(name, files, kubeconfig), environment)

    def _of(self, context: Entry, kind: str, entries: Mapping[str, Entry]) -> Entry:
        name = context.text(kind)
        if not name:
            context.fail(
                f"has no {kind}. To set the {kind}: kubectl config set-context {shlex.quote(context.name)} --{kind}=..."
            )
        if name not in entries:
            known = ", ".join(entries) or "none"
            context.fail(f"refers to the {kind} {name!r}, which does not exist. The {kind}s: {known}.")
        return entries[name]


def _unknown(context: str, files: Iterable[Path], known: Iterable[str]) -> NoReturn:
    names = ", ".join(known)
    shown = f"Its contexts: {names}" if names else "It has no contexts"
    raise KubeconfigError(f"{_all(files)}: no context {context!r}. Select another context with --context. {shown}.")


def _all(files: Iterable[Path]) -> str:
    return os.pathsep.join(map(str, files))


def _read(path: Path) -> _Config | None:
    """The kubeconfig in a file; None if the file does not exist. No error contains text of the file."""
    try:
        content = yaml.load(files.read(path), Loader=_Strings)  # noqa: S506 # it is a safe loader
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}. Name a readable kubeconfig with --kubeconfig.") from None
    except yaml.MarkedYAMLError as error:
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise KubeconfigError(f"{path}: not YAML{line}, so it is not a kubeconfig. {_A_VALID_ONE}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise KubeconfigError(f"{path}: not UTF-8 text, so it is not a kubeconfig. {_A_VALID_ONE}") from None
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):  # of PyYAML, for `!!bool x` and such
        raise KubeconfigError(f"{path}: not YAML, so it is not a kubeconfig. {_A_VALID_ONE}") from None
    if content is None:
        content = {}
    if not isinstance(content, dict) or content.get("kind", "Config") != "Config":
        raise KubeconfigError(f"{path}: not a kubeconfig. {_A_VALID_ONE}")
    current = content.get("current-context") or ""
    if not isinstance(current, str):
        raise KubeconfigError(f"{path}: current-context is not a string. Put it in quotes.")
    kinds = ("cluster", "user", "context")
    return _Config((path,), current, *(_entries(path, kind, content.get(f"{kind}s")) for kind in kinds))


_A_VALID_ONE = "`kubectl config view --flatten` prints a valid one."


def _entries(path: Path, kind: str, listed: object) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    if listed is not None and not isinstance(listed, list):
        raise KubeconfigError(f"{path}: {kind}s is not a list. {_A_VALID_ONE}")
    for index, each in enumerate(listed or ()):
        body = (each.get(kind) or {}) if isinstance(each, dict) else None
        name = each.get("name", "") if isinstance(each, dict) else None
        if not isinstance(body, dict) or not isinstance(name, str):
            raise KubeconfigError(f"{path}: {kind}s[{index}] is not a map with a name and a {kind}. {_A_VALID_ONE}")
        if name in found:
            raise KubeconfigError(f"{path}: {kind} {name!r} is defined twice. Remove or rename one of them.")
        found[name] = Entry(kind, name, path, body)
    return found


def _merge(configs: Iterable[_Config]) -> _Config:
    """Merge as kubectl does: the first file with an entry of a name wins, and the first current-context wins."""
    every = list(configs)

    def first(kind: str) -> dict[str, Entry]:
        return {name: entry for config in reversed(every) for name, entry in getattr(config, kind).items()}

    current = next((config.current for config in every if config.current), "")
    files = tuple(path for config in every for path in config.files)
    return _Config(files, current, first("clusters"), first("users"), first("contexts"))
