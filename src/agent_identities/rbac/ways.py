"""The ways to become a ServiceAccount, as data: the requests that open each of them.

A way to become a ServiceAccount is also a way to change what it can do (its roles, its bindings, the ServiceAccount)
or what its pods read. One finding of a way names one subject, and the shortest request that the subject may send.
"""

from dataclasses import dataclass
from enum import Enum, auto

from agent_identities.rbac.match import ALL
from agent_identities.rbac.model import API_GROUP

_ADMISSION = "admissionregistration.k8s.io"
_AUTHENTICATION = "authentication.k8s.io"
_CERTIFICATES = "certificates.k8s.io"


class Objects(Enum):
    """Which objects a request is about, if their names decide which ServiceAccounts it reaches."""

    ACCOUNTS = auto()
    PODS = auto()
    TOKEN_SECRETS = auto()
    CONFIGMAPS = auto()
    TRUST_ANCHOR = auto()
    SECRETS = auto()
    ROLES = auto()
    ABSENT_ROLES = auto()
    CLUSTER_ROLES = auto()
    ABSENT_CLUSTER_ROLES = auto()
    AGGREGATED = auto()
    POLICIES = auto()
    POLICY_BINDINGS = auto()
    USERS = auto()
    GROUPS = auto()


class Where(Enum):
    """The namespace of a request."""

    HOME = auto()
    ROLES = auto()
    CLUSTER = auto()
    ANYWHERE = auto()


class Name(Enum):
    """The name of a request: none (create), any, or the name of one of the objects."""

    NONE = auto()
    ANY = auto()
    OBJECT = auto()


@dataclass(frozen=True, slots=True)
class Ask:
    """Requests of which each opens a way, or one step of a way.

    ``verbs`` are alternatives, the most direct first. ``resource`` is ``pods`` or ``pods/exec``. ``objects`` are the
    objects that the request is about; None: the request reaches every ServiceAccount. ``names`` limits the names of
    the request, and ``prefix`` their beginning. ``same``: for the same name as the step before. ``namespace``, if not
    empty, is used instead of ``where``.
    """

    verbs: tuple[str, ...]
    resource: str
    group: str = ""
    name: Name = Name.ANY
    objects: Objects | None = None
    where: Where = Where.HOME
    names: tuple[str, ...] = ()
    prefix: str = ""
    same: bool = False
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to become a ServiceAccount. ``title`` completes "the subject may ...".

    ``requires`` are the alternatives. An alternative is open to a subject that may send a request of each of its steps.
    """

    id: str
    title: str
    requires: tuple[tuple[Ask, ...], ...]


def _create(resource: str, group: str = "") -> tuple[Ask, ...]:
    return (Ask(("create",), resource, group, Name.NONE),)


def _write(*resources: str, group: str = "") -> tuple[tuple[Ask, ...], ...]:
    return tuple((Ask(("update", "patch"), each, group),) for each in resources)


_CHANGE = ("update", "patch")
_WRITE = ("create", "update", "patch")
_DELETE = ("delete", "deletecollection")
_CONNECT = ("create", "get")
_PROXY = ("get", "create", "update", "patch", "delete")


def _named(
    verbs: tuple[str, ...], resource: str, objects: Objects, *, group: str = "", where: Where = Where.HOME
) -> Ask:
    return Ask(verbs, resource, group, Name.OBJECT, objects, where)


def _impersonated(verb: str, acting: str, group: str) -> tuple[tuple[Ask, ...], ...]:
    """Impersonation of users and of groups. A request with a group names a user or a ServiceAccount, too."""
    users = _named((verb,), "users", Objects.USERS, group=group, where=Where.CLUSTER)
    groups = _named((verb,), "groups", Objects.GROUPS, group=group, where=Where.CLUSTER)
    anyone = Ask((verb,), "users", group, where=Where.CLUSTER)
    if acting:
        act = Ask((acting,), ALL, where=Where.ANYWHERE)
        return ((users, act), (groups, anyone, act))
    return ((users,), (groups, anyone), (groups, Ask((verb,), "serviceaccounts", where=Where.ANYWHERE)))


IMPERSONATE = Way(
    "impersonate",
    "impersonate it",
    (
        (_named(("impersonate",), "serviceaccounts", Objects.ACCOUNTS),),
        (
            _named(("impersonate:serviceaccount",), "serviceaccounts", Objects.ACCOUNTS, group=_AUTHENTICATION),
            Ask(("impersonate-on:serviceaccount:",), ALL, where=Where.ANYWHERE),
        ),
    ),
)
"""The API server checks `impersonate serviceaccounts` also for a user name of a ServiceAccount, and KEP-5284 adds the
second form (k8s.io/apiserver pkg/endpoints/filters/impersonation)."""

WAYS: tuple[Way, ...] = (
    IMPERSONATE,
    Way(
        "impersonate-others",
        "impersonate others who can become it",
        (
            *_impersonated("impersonate", "", ""),
            *_impersonated("impersonate:user-info", "impersonate-on:user-info:", _AUTHENTICATION),
        ),
    ),
    Way("tokens", "request its tokens", ((_named(("create",), "serviceaccounts/token", Objects.ACCOUNTS),),)),
    Way(
        "token-secrets",
        "get its token from a Secret",
        (
            (_named(("get", "list", "watch", *_CHANGE), "secrets", Objects.TOKEN_SECRETS),),
            (*_create("secrets"), Ask(("get", "list", "watch", *_CHANGE), "secrets")),
        ),
    ),
    Way(
        "pods",
        "run pods as it",
        (
            *(_create(each) for each in ("pods", "replicationcontrollers", "podtemplates")),
            *(
                _create(each, "apps")
                for each in ("deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions")
            ),
            *(_create(each, "batch") for each in ("jobs", "cronjobs")),
            *_write("replicationcontrollers", "podtemplates"),
            *_write("deployments", "replicasets", "statefulsets", "daemonsets", group="apps"),
            *_write("cronjobs", group="batch"),
            (_named(_CHANGE, "pods", Objects.PODS),),
        ),
    ),
    Way(
        "exec",
        "exec into its pods",
        (
            *((_named(_CONNECT, f"pods/{each}", Objects.PODS),) for each in ("exec", "attach", "portforward")),
            (_named(_CHANGE, "pods/ephemeralcontainers", Objects.PODS),),
            (_named(_PROXY, "pods/proxy", Objects.PODS),),
            (Ask(_PROXY, "services/proxy"),),
            (Ask(_PROXY, "nodes/proxy", where=Where.CLUSTER),),
        ),
    ),
    Way(
        "roles",
        "change its roles",
        (
            (_named(_CHANGE, "roles", Objects.ROLES, group=API_GROUP, where=Where.ROLES),),
            (
                _named(_DELETE, "roles", Objects.ROLES, group=API_GROUP, where=Where.ROLES),
                Ask(("create",), "roles", API_GROUP, Name.NONE, where=Where.ROLES),
            ),
            (Ask(("create",), "roles", API_GROUP, Name.NONE, Objects.ABSENT_ROLES, Where.ROLES),),
            (_named(_CHANGE, "clusterroles", Objects.CLUSTER_ROLES, group=API_GROUP, where=Where.CLUSTER),),
            (
                _named(_DELETE, "clusterroles", Objects.CLUSTER_ROLES, group=API_GROUP, where=Where.CLUSTER),
                Ask(("create",), "clusterroles", API_GROUP, Name.NONE, where=Where.CLUSTER),
            ),
            (Ask(("create",), "clusterroles", API_GROUP, Name.NONE, Objects.ABSENT_CLUSTER_ROLES, Where.CLUSTER),),
        ),
    ),
    Way(
        "aggregation",
        "add rules to its aggregated ClusterRole",
        # A label puts the rules of a ClusterRole into each ClusterRole that aggregates them.
        ((Ask(_WRITE, "clusterroles", API_GROUP, Name.ANY, Objects.AGGREGATED, Where.CLUSTER),),),
    ),
    Way(
        "escalate",
        "give itself the same rights",
        (
            *(
                (
                    Ask(_CHANGE, each, API_GROUP, where=where),
                    Ask(("escalate",), each, API_GROUP, where=where, same=True),
                )
                for each, where in (("roles", Where.HOME), ("clusterroles", Where.CLUSTER))
            ),
            *(
                (Ask(_WRITE, each, API_GROUP, where=where), Ask(("bind",), role, API_GROUP, where=where))
                for each, role, where in (
                    ("rolebindings", "clusterroles", Where.HOME),
                    ("rolebindings", "roles", Where.HOME),
                    ("clusterrolebindings", "clusterroles", Where.CLUSTER),
                )
            ),
        ),
    ),
    Way(
        "bindings",
        "give it more rights",
        (
            (Ask(_WRITE, "rolebindings", API_GROUP),),
            (Ask(_WRITE, "clusterrolebindings", API_GROUP, where=Where.CLUSTER),),
        ),
    ),
    Way(
        "account",
        "change its ServiceAccount",
        (
            (_named(_CHANGE, "serviceaccounts", Objects.ACCOUNTS),),
            (_named(_DELETE, "serviceaccounts", Objects.ACCOUNTS), *_create("serviceaccounts")),
        ),
    ),
    Way(
        "configuration",
        "change what its pods read",
        (
            (_named(_CHANGE, "configmaps", Objects.CONFIGMAPS),),
            (_named(_DELETE, "configmaps", Objects.CONFIGMAPS), *_create("configmaps")),
            (_named(_CHANGE, "secrets", Objects.SECRETS),),
            (_named(_DELETE, "secrets", Objects.SECRETS), *_create("secrets")),
        ),
    ),
    Way(
        "trust-anchor",
        "change the certificate authority that its pods trust",
        (
            (_named(_CHANGE, "configmaps", Objects.TRUST_ANCHOR),),
            (_named(_DELETE, "configmaps", Objects.TRUST_ANCHOR), *_create("configmaps")),
        ),
    ),
    Way(
        "admission",
        "change its pods by admission",
        (
            *(
                (Ask(_WRITE, each, _ADMISSION, where=Where.CLUSTER),)
                for each in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
            ),
            *(
                (Ask(_CHANGE, each, _ADMISSION, where=Where.CLUSTER),)
                for each in ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
            ),
            tuple(
                Ask(("create",), each, _ADMISSION, Name.NONE, where=Where.CLUSTER)
                for each in ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
            ),
        ),
    ),
    Way(
        "guards",
        "turn off its guards",
        tuple(
            (_named((*_DELETE, *_CHANGE), each, objects, group=_ADMISSION, where=Where.CLUSTER),)
            for each, objects in (
                ("validatingadmissionpolicies", Objects.POLICIES),
                ("validatingadmissionpolicybindings", Objects.POLICY_BINDINGS),
            )
        ),
    ),
    Way(
        "certificates",
        "get a client certificate as it",
        (
            (
                Ask(
                    ("approve",),
                    "signers",
                    _CERTIFICATES,
                    where=Where.CLUSTER,
                    names=("kubernetes.io/kube-apiserver-client", "kubernetes.io/*"),
                ),
                Ask(_CHANGE, "certificatesigningrequests/approval", _CERTIFICATES, where=Where.CLUSTER),
            ),
        ),
    ),
)
"""Not ways: `scale` (the template of the pods stays), update and patch of Jobs (their template is immutable, see
ValidateJobSpecUpdate in k8s.io/kubernetes pkg/apis/batch/validation), nodes and nodes/status.

A `create` on configurations of webhooks has the verb in ``_WRITE``: a rule with names does not allow it, and the
request is then an update of the named object."""
