"""A cluster that somebody else runs: is its kubeconfig usable, does it answer, does it know us."""

import os
import ssl
from pathlib import Path

import urllib3.exceptions
import yaml
from kubernetes import client, config

from agent_identities.errors import ClusterError

_TIMEOUT_SECONDS = 10.0


def default_kubeconfig() -> Path:
    """What kubectl would use: KUBECONFIG, else ~/.kube/config. Raises ClusterError where KUBECONFIG names several."""
    named = [entry for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    if len(named) > 1:
        raise ClusterError(
            "KUBECONFIG: names several files, which one is meant? Name it with --kubeconfig, or make one of them: "
            "kubectl config view --flatten > one.yaml"
        )
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def reach(kubeconfig: Path, context: str | None = None) -> str:
    """The version of the API server behind this kubeconfig (v1.36.4), once it has answered and knows who asks.

    Raises ClusterError: file or context missing, no answer, a certificate that is not trusted, or no valid credentials.
    """
    chosen = _context(kubeconfig, context)
    place = f"{kubeconfig}, context {chosen}"
    settings = client.Configuration()
    settings.retries = False  # the first refusal is the answer
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call] # the client library annotates only its generated part
            str(kubeconfig), chosen, client_configuration=settings, persist_config=False
        )
    except (config.ConfigException, OSError, ValueError) as error:
        raise ClusterError(f"{place}: cannot be used: {error}") from error
    server = settings.host
    with client.ApiClient(settings) as api:
        try:
            version = client.VersionApi(api).get_code(_request_timeout=_TIMEOUT_SECONDS)
            client.AuthenticationV1Api(api).create_self_subject_review(  # refused to whoever is not authenticated
                client.V1SelfSubjectReview(), _request_timeout=_TIMEOUT_SECONDS
            )
        except client.ApiException as error:
            if not error.status:  # the client library's way to say that TLS failed
                raise ClusterError(_no_answer(place, server, error.__context__ or error)) from error
            raise ClusterError(_refused(place, server, error.status)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(_no_answer(place, server, error)) from error
    return str(version.git_version)


def _context(kubeconfig: Path, context: str | None) -> str:
    """The context to use. Raises ClusterError where the file or the context is missing."""
    try:
        content = yaml.safe_load(kubeconfig.read_bytes())
    except FileNotFoundError as error:
        raise ClusterError(
            f"{kubeconfig}: no such file. Name a kubeconfig with --kubeconfig, or start a cluster of your own: "
            "agent-identities up"
        ) from error
    except OSError as error:
        raise ClusterError(f"{kubeconfig}: {error.strerror}. Name a readable kubeconfig with --kubeconfig") from error
    except yaml.YAMLError as error:
        raise ClusterError(f"{kubeconfig}: not YAML, so no kubeconfig: {error}") from error
    if not isinstance(content, dict):
        raise ClusterError(f"{kubeconfig}: not a kubeconfig. `kubectl config view --flatten` prints a valid one")
    names = [str(entry.get("name")) for entry in content.get("contexts") or [] if isinstance(entry, dict)]
    chosen = context or content.get("current-context")
    if chosen in names:
        return str(chosen)
    known = f"It has: {', '.join(names)}" if names else "It has no context at all"
    if not chosen:
        raise ClusterError(f"{kubeconfig}: no current-context. Choose one with --context. {known}")
    raise ClusterError(f"{kubeconfig}: no context {chosen!r}. Choose another with --context. {known}")


def _refused(place: str, server: str, status: int) -> str:
    if status == 401:
        return (
            f"{place}: {server} does not accept the credentials (401 Unauthorized): they are missing, wrong or "
            "expired. Log in again, or name another context with --context"
        )
    if status == 403:
        return (
            f"{place}: {server} refuses the simplest questions (403 Forbidden): the credentials are not those of an "
            "authenticated user. Log in again, or name another context with --context"
        )
    return (
        f"{place}: {server} answered {status} when asked for its version. Is it a Kubernetes API server, and healthy?"
    )


def _no_answer(place: str, server: str, error: BaseException) -> str:
    cause: BaseException = error
    while isinstance(cause, urllib3.exceptions.MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    detail = str(cause).rpartition(": ")[2].strip("()'\"")
    if isinstance(cause, (urllib3.exceptions.SSLError, ssl.SSLError)):
        return (
            f"{place}: the certificate of {server} is not trusted ({detail}). Put the authority that signed it into "
            "the kubeconfig (certificate-authority-data), or use the address that the certificate names"
        )
    return (
        f"{place}: no answer from {server} ({detail}). Is the cluster running, and reachable from here? "
        "Another one can be named with --context, or started with: agent-identities up"
    )
