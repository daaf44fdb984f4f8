"""Read kubeconfigs as kubectl does: the choice of files, their merge, and the access of a context.

Source: k8s.io/client-go/tools/clientcmd (loader.go, client_config.go, validation.go) and rest/config.go. Unlike
kubectl, a kubeconfig with disabled TLS verification is refused.
"""

import base64
import binascii
import json
import os
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import yaml

from agent_identities.errors import ClusterError
from agent_identities.kube.credentials import Credential, CredentialSource, Fixed, KeyPair, TokenFile
from agent_identities.kube.exec_plugin import API_VERSIONS, MODES, ExecConfig, ExecPlugin, cluster_info
from agent_identities.kube.proxies import proxy_from_environment

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The directory of a pod's token and of the cluster's certificate authority."""

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
_PROXY_SCHEMES = ("http", "https", "socks5")
_OIDC_LEEWAY_SECONDS = 10


class KubeconfigError(ClusterError):
    """A kubeconfig that cannot be used: a file, an entry, or a file in an entry."""


@dataclass(frozen=True, slots=True)
class Place:
    """The source of an access, for messages and commands.

    ``kubeconfig`` is the file that the user named, None if kubectl finds the same file without an option. ``files`` are
    the files of the access, none for the credentials of a pod.
    """

    context: str
    files: tuple[Path, ...]
    kubeconfig: Path | None = None

    def __str__(self) -> str:
        if not self.files:
            return f"the ServiceAccount of this pod, {self.context}"
        return f"context {self.context!r} of {os.pathsep.join(map(str, self.files))}"

    def kubectl(self, *arguments: str) -> str:
        """A kubectl command with this access."""
        named = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        return shlex.join(["kubectl", *named, *([f"--context={self.context}"] if self.files else []), *arguments])


@dataclass(frozen=True, slots=True)
class Access:
    """An API server, its certificate authority, and the credentials for it. `load` returns it.

    ``server`` is an https URL without a trailing slash; ``ca`` are PEM certificates (None: those of the system);
    ``proxy`` is the URL of a proxy or ""; ``impersonate`` are headers in order.
    """

    server: str
    place: Place
    credentials: CredentialSource = field(repr=False)
    ca: bytes | None = field(default=None, repr=False)
    tls_server_name: str = ""
    proxy: str = field(default="", repr=False)
    impersonate: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.server}, {self.place}"


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
        raise KubeconfigError(
            f"{_home(environment)}: no such file, and KUBECONFIG is not set. Name a kubeconfig with --kubeconfig, or "
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
    chosen = [kubeconfig] if kubeconfig else named if environment.get("KUBECONFIG") else [_home(environment)]
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
            f"it to use {_home(environment)}."
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
        trusted = ca.read_bytes()
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
        proxy=_proxy(urlsplit(server), environment),
    )


def _home(environment: Mapping[str, str]) -> Path:
    home = environment.get("HOME")
    return (Path(home) if home else Path.home()) / ".kube" / "config"


class _Strings(yaml.CSafeLoader):
    """Safe YAML in which a date is a string, as for kubectl."""


_Strings.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named cluster, user or context, and its file. No message contains a value of the entry."""

    kind: str
    name: str
    file: Path
    body: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.name!r}"

    def fail(self, problem: str) -> NoReturn:
        raise KubeconfigError(f"{self} {problem}")

    def text(self, key: str) -> str:
        """The string of a key, "" if it is not set."""
        value = self.body.get(key)
        if value is not None and not isinstance(value, str):
            self.fail(f"has a {key} that is not a string. Put it in quotes.")
        return value or ""

    def flag(self, key: str) -> bool:
        value = self.body.get(key)
        if value is not None and not isinstance(value, bool):
            self.fail(f"has a {key} that is neither true nor false.")
        return bool(value)

    def path(self, key: str) -> Path | None:
        """A file, relative to the kubeconfig that names it."""
        value = self.text(key)
        return self.file.absolute().parent / value if value else None

    def data(self, key: str) -> bytes | None:
        """The content of ``<key>-data``, or of the file in ``<key>``."""
        inside, path = self.text(f"{key}-data"), self.path(key)
        if inside and path:
            self.fail(f"has both {key} and {key}-data. Remove one of them.")
        if inside:
            try:
                return base64.b64decode(inside.replace("\r", "").replace("\n", ""), validate=True)
            except (binascii.Error, ValueError):
                self.fail(f"has a {key}-data that is not base64. Write it again.")
        if path is None:
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            self.fail(f"has {key} {path}: {error.strerror}. Correct the path.")

    def texts(self, key: str) -> tuple[str, ...]:
        return self._all_texts(key, self.body.get(key))

    def lists_of_texts(self, key: str) -> dict[str, tuple[str, ...]]:
        value = self.body.get(key) or {}
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value):
            self.fail(f"has a {key} that is not a map of lists.")
        return {name: self._all_texts(key, each) for name, each in value.items()}

    def _all_texts(self, key: str, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.fail(f"has a {key} that is not a list of strings.")
        return tuple(value)


@dataclass(frozen=True, slots=True)
class _Config:
    """One kubeconfig, or several merged kubeconfigs. ``current`` is "" without a current-context."""

    files: tuple[Path, ...]
    current: str
    clusters: Mapping[str, _Entry]
    users: Mapping[str, _Entry]
    contexts: Mapping[str, _Entry]

    @property
    def empty(self) -> bool:
        return not (self.current or self.clusters or self.users or self.contexts)

    def access(self, context: str | None, kubeconfig: Path | None, environment: Mapping[str, str]) -> Access:
        name = context or self.current
        if not name:
            known = f"Its contexts: {', '.join(self.contexts)}" if self.contexts else "It has no contexts"
            raise KubeconfigError(f"{_all(self.files)}: no current-context. Select a context with --context. {known}.")
        if name not in self.contexts:
            _unknown(name, self.files, self.contexts)
        chosen = self.contexts[name]
        cluster = self._of(chosen, "cluster", self.clusters)
        user = self._of(chosen, "user", self.users)
        files = tuple(dict.fromkeys(each.file for each in (chosen, cluster, user)))
        return _access(cluster, user, Place(name, files, kubeconfig), environment)

    def _of(self, context: _Entry, kind: str, entries: Mapping[str, _Entry]) -> _Entry:
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
        content = yaml.load(path.read_bytes(), Loader=_Strings)  # noqa: S506 # it is a safe loader
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}. Name a readable kubeconfig with --kubeconfig.") from None
    except yaml.MarkedYAMLError as error:
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise KubeconfigError(f"{path}: not YAML{line}, so it is not a kubeconfig. {_A_VALID_ONE}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise KubeconfigError(f"{path}: not UTF-8 text, so it is not a kubeconfig. {_A_VALID_ONE}") from None
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


def _entries(path: Path, kind: str, listed: object) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    if listed is not None and not isinstance(listed, list):
        raise KubeconfigError(f"{path}: {kind}s is not a list. {_A_VALID_ONE}")
    for index, each in enumerate(listed or ()):
        body = (each.get(kind) or {}) if isinstance(each, dict) else None
        name = each.get("name", "") if isinstance(each, dict) else None
        if not isinstance(body, dict) or not isinstance(name, str):
            raise KubeconfigError(f"{path}: {kind}s[{index}] is not a map with a name and a {kind}. {_A_VALID_ONE}")
        if name in found:
            raise KubeconfigError(f"{path}: {kind} {name!r} is defined twice. Remove or rename one of them.")
        found[name] = _Entry(kind, name, path, body)
    return found


def _merge(configs: Iterable[_Config]) -> _Config:
    """Merge as kubectl does: the first file with an entry of a name wins, and the first current-context wins."""
    every = list(configs)

    def first(kind: str) -> dict[str, _Entry]:
        return {name: entry for config in reversed(every) for name, entry in getattr(config, kind).items()}

    current = next((config.current for config in every if config.current), "")
    files = tuple(path for config in every for path in config.files)
    return _Config(files, current, first("clusters"), first("users"), first("contexts"))


def _access(cluster: _Entry, user: _Entry, place: Place, environment: Mapping[str, str]) -> Access:
    server = _server(cluster)
    url = urlsplit(server)
    ca = cluster.data("certificate-authority")
    proxy = _proxy_of(cluster) or _proxy(url, environment)
    name = cluster.text("tls-server-name")
    info = cluster_info(
        server,
        ca=ca,
        tls_server_name=name,
        proxy=cluster.text("proxy-url"),
        disable_compression=cluster.flag("disable-compression"),
        config=_extension(cluster),
    )
    return Access(server, place, _credentials(user, info), ca, name, proxy, _impersonation(user))


def _server(cluster: _Entry) -> str:
    """The URL of the server. Raises KubeconfigError if TLS verification is disabled."""
    server = cluster.text("server")
    if not server:
        cluster.fail("has no server. Set its address: https://HOST:PORT")
    try:
        url = urlsplit(server)
        host, port = url.hostname, url.port
    except ValueError:
        cluster.fail("has a server that is not a URL. Write https://HOST:PORT")
    if url.username is not None or url.password is not None:
        cluster.fail("has a server whose URL contains a user name. Move the credentials to the entry of the user.")
    insecure = cluster.flag("insecure-skip-tls-verify")
    if url.scheme != "https" or not host or insecure:
        why = "insecure-skip-tls-verify is true" if insecure else "the server is not an https URL"
        remediation = "remove insecure-skip-tls-verify" if insecure else "write https://HOST:PORT as its server"
        shown = f" for {host}{f':{port}' if port else ''}" if host else ""
        raise KubeconfigError(
            f"{cluster}: TLS verification is disabled{shown} ({why}): another server could read your credentials. "
            f"Set certificate-authority-data, and {remediation}."
        )
    return f"https://{url.netloc}{url.path}".rstrip("/")


def _proxy(url: SplitResult, environment: Mapping[str, str]) -> str:
    return proxy_from_environment(url.hostname or "", url.port or 443, environment)


def _proxy_of(cluster: _Entry) -> str:
    proxy = cluster.text("proxy-url")
    try:
        valid = not proxy or (urlsplit(proxy).scheme in _PROXY_SCHEMES and urlsplit(proxy).port != 0)
    except ValueError:
        valid = False
    if not valid:
        cluster.fail(f"has a proxy-url that is not a URL of {', '.join(_PROXY_SCHEMES)}. Write http://HOST:PORT")
    return proxy


def _extension(cluster: _Entry) -> object:
    """The cluster's extension for credential plugins."""
    listed = cluster.body.get("extensions")
    every = listed if isinstance(listed, list) else ()
    named = (each for each in every if isinstance(each, dict) and each.get("name") == _EXEC_EXTENSION)
    return next(named, {}).get("extension")


def _credentials(user: _Entry, cluster: Mapping[str, Any]) -> CredentialSource:
    """The credentials of the user's entry, possibly empty. The first in kubectl's order is used."""
    certificate, key = user.data("client-certificate"), user.data("client-key")
    if certificate and not key:
        user.fail("has a client certificate without a client-key. Add client-key-data.")
    pair = KeyPair(certificate, key) if certificate and key else None
    token, token_file = user.text("token"), user.path("tokenFile")
    username, password = user.text("username"), user.text("password")
    if (token or token_file) and (username or password):
        user.fail("has both a token and a user name with password. Remove one of them.")
    exec_config, provider = user.body.get("exec"), user.body.get("auth-provider")
    if exec_config and provider:
        user.fail("has both exec and auth-provider. Remove auth-provider.")
    plugin = _exec(user, exec_config, cluster) if exec_config else None
    if token_file:
        source = TokenFile(token_file, str(user), pair=pair, fallback=token)
        source.get()
        return source
    if token:
        return Fixed(Credential.bearer(token, f"{user}: token", pair))
    if username:
        return Fixed(Credential.basic(username, password, pair))
    if plugin and pair is None:
        return ExecPlugin(plugin, str(user))
    if provider:
        return Fixed(_id_token(user, provider, pair))
    return Fixed(Credential(pair=pair))


def _exec(user: _Entry, config: object, cluster: Mapping[str, Any]) -> ExecConfig:
    if not isinstance(config, dict):
        user.fail("has an exec that is not a map.")
    entry = _Entry(user.kind, user.name, user.file, config)
    command, version, mode = (entry.text(key) for key in ("command", "apiVersion", "interactiveMode"))
    if not command:
        user.fail("has an exec without a command. Set the command of the credential plugin.")
    if version not in API_VERSIONS:
        user.fail(f"has an exec whose apiVersion is not {' or '.join(API_VERSIONS)}. Update the plugin's entry.")
    mode = mode or ("IfAvailable" if version.endswith("v1beta1") else "")
    if mode not in MODES:
        user.fail(f"has an exec whose interactiveMode is not {', '.join(MODES[:-1])} or {MODES[-1]}. Correct it.")
    listed = config.get("env") or []
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) and isinstance(each.get("value", ""), str)
        for each in listed
    ):
        user.fail("has an exec whose env is not a list of a name and a value.")
    if os.sep in command:
        command = str(user.file.absolute().parent / command)
    return ExecConfig(
        command,
        version,
        mode,  # type: ignore[arg-type] # it is one of MODES
        entry.texts("args"),
        tuple((each["name"], each.get("value", "")) for each in listed),
        entry.text("installHint"),
        cluster if entry.flag("provideClusterInfo") else None,
    )


def _id_token(user: _Entry, provider: object, pair: KeyPair | None) -> Credential:
    """The valid id-token of `auth-provider: oidc`, which kubectl renews. No other provider exists any more."""
    if not isinstance(provider, dict) or provider.get("name") != "oidc":
        user.fail(
            "has an auth-provider, which kubectl removed in 1.26. Use a credential plugin: "
            "https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins"
        )
    config = provider.get("config")
    token = config.get("id-token") if isinstance(config, dict) else None
    if not isinstance(token, str) or not token or _expired(token):
        user.fail(
            "has an auth-provider (oidc) whose id-token is missing or has expired. Let kubectl renew it (kubectl get "
            "--raw /version), or use a credential plugin such as kubelogin."
        )
    return Credential.bearer(token, f"{user}: id-token", pair)


def _expired(token: str) -> bool:
    """Whether a JSON Web Token has expired, or is invalid."""
    try:
        payload = token.split(".")[1]
        expires = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(expires) < time.time() + _OIDC_LEEWAY_SECONDS
    except (ValueError, IndexError, KeyError, TypeError):
        return True


def _impersonation(user: _Entry) -> tuple[tuple[str, str], ...]:
    """The headers of ``as``, ``as-uid``, ``as-groups`` and ``as-user-extra``, in kubectl's order and spelling."""
    name, uid, groups = user.text("as"), user.text("as-uid"), user.texts("as-groups")
    extra = user.lists_of_texts("as-user-extra")
    if not name:
        if uid or groups or extra:
            user.fail("has as-uid, as-groups or as-user-extra without as. Set as to the user to impersonate.")
        return ()
    headers = [("Impersonate-User", name)]
    headers += [("Impersonate-Uid", uid)] if uid else []
    headers += [("Impersonate-Group", group) for group in groups]
    headers += [(f"Impersonate-Extra-{_escaped(key)}", value) for key, values in extra.items() for value in values]
    if any(not value.isprintable() for _, value in headers):
        user.fail("has an as, as-uid, as-groups or as-user-extra with a control character. Remove it.")
    return tuple((header, value.encode().decode("latin-1")) for header, value in headers)  # UTF-8, as Go sends it


def _escaped(key: str) -> str:
    """The key of an extra as the name of a header (client-go's headerKeyEscape)."""
    return re.sub(rb"[^!#$&'*+.0-9A-Z^_`a-z|~-]", lambda found: b"%%%02X" % found[0][0], key.encode("utf-8")).decode(
        "ascii"
    )
