"""The access to an API server: address, TLS and credentials, from the entries of a kubeconfig.

Source: k8s.io/client-go/tools/clientcmd (client_config.go, validation.go) and rest/config.go. Where kubectl would send
credentials to a server that it does not verify, the entry is refused instead.
"""

import base64
import binascii
import json
import os
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from agent_identities.errors import ClusterError
from agent_identities.kube import files
from agent_identities.kube.credentials import Credential, CredentialSource, Fixed, KeyPair, TokenFile
from agent_identities.kube.exec_plugin import API_VERSIONS, MODES, ExecConfig, ExecPlugin, cluster_info
from agent_identities.kube.proxies import SCHEMES, is_proxy, proxy_from_environment

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
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
    """The address of an API server, its certificate authority, and the credentials; `kubeconfig.load` returns it.

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


@dataclass(frozen=True, slots=True)
class Entry:
    """A named cluster, user or context, and its file. No message contains its values."""

    kind: str
    name: str
    file: Path
    body: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.name!r}"

    def fail(self, problem: str) -> NoReturn:
        """Raise KubeconfigError about this entry."""
        raise KubeconfigError(f"{self} {problem}")

    def text(self, key: str) -> str:
        """The string of a key, "" if it is not set."""
        value = self.body.get(key)
        if value is not None and not isinstance(value, str):
            self.fail(f"has a {key} that is not a string. Put it in quotes.")
        return value or ""

    def flag(self, key: str) -> bool:
        """A boolean, false if it is not set."""
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
            return files.read(path)
        except OSError as error:
            self.fail(f"has {key} {path}: {error.strerror}. Correct the path.")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        return self._all_texts(key, self.body.get(key))

    def lists_of_texts(self, key: str) -> dict[str, tuple[str, ...]]:
        """A map of lists of strings."""
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


def access_of(cluster: Entry, user: Entry, place: Place, environment: Mapping[str, str]) -> Access:
    """The access of a context's cluster and user. Raises KubeconfigError, CredentialError."""
    server = _server(cluster)
    ca = cluster.data("certificate-authority")
    proxy = _proxy_of(cluster) or proxy_from_environment(server, environment)
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


def _server(cluster: Entry) -> str:
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


def _proxy_of(cluster: Entry) -> str:
    proxy = cluster.text("proxy-url")
    if proxy and not is_proxy(proxy):
        cluster.fail(f"has a proxy-url that is not a URL of {', '.join(SCHEMES)}. Write http://HOST:PORT")
    return proxy


def _extension(cluster: Entry) -> object:
    """The data of the cluster for credential plugins."""
    listed = cluster.body.get("extensions")
    every = listed if isinstance(listed, list) else ()
    named = (each for each in every if isinstance(each, dict) and each.get("name") == _EXEC_EXTENSION)
    extension = next(named, {}).get("extension")
    try:
        json.dumps(extension, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        cluster.fail(f"has an extension {_EXEC_EXTENSION} that cannot be written as JSON. Use text, numbers and maps.")
    return extension


def _credentials(user: Entry, info: Mapping[str, Any]) -> CredentialSource:
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
    plugin = _exec(user, exec_config, info) if exec_config else None
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


def _exec(user: Entry, config: object, info: Mapping[str, Any]) -> ExecConfig:
    if not isinstance(config, dict):
        user.fail("has an exec that is not a map.")
    entry = Entry(user.kind, user.name, user.file, config)
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
    texts = (*entry.texts("args"), *(text for each in listed for text in (each["name"], each.get("value", ""))))
    if "\0" in "".join((command, *texts)):
        user.fail("has an exec with a NUL character in its command, args or env. Remove it.")
    if any(not each["name"] or "=" in each["name"] for each in listed):
        user.fail("has an exec whose env has a name that is empty or contains '='. Correct the name.")
    if os.sep in command:
        command = str(user.file.absolute().parent / command)
    return ExecConfig(
        command,
        version,
        mode,  # type: ignore[arg-type] # it is one of MODES
        entry.texts("args"),
        tuple((each["name"], each.get("value", "")) for each in listed),
        entry.text("installHint"),
        info if entry.flag("provideClusterInfo") else None,
    )


def _id_token(user: Entry, provider: object, pair: KeyPair | None) -> Credential:
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


def _impersonation(user: Entry) -> tuple[tuple[str, str], ...]:
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
