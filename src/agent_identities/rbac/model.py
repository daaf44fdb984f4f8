"""Roles, bindings and rules as values, and the set of them that an API server would decide by.

The shapes follow rbac.authorization.k8s.io/v1 (k8s.io/api/rbac/v1/types.go); lists are tuples, absent lists are empty.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from agent_identities.errors import AgentIdentitiesError
from agent_identities.rbac.selector import LabelSelector

API_GROUP = "rbac.authorization.k8s.io"

RoleKind = Literal["Role", "ClusterRole"]
BindingKind = Literal["RoleBinding", "ClusterRoleBinding"]


class PolicyError(AgentIdentitiesError):
    """A role or binding that no API server would accept."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a role: every combination of its verbs with its resources (by group and name), or with its URLs."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = ()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], place: str = "rule") -> Self:
        """Read a rule as it stands in YAML. Unknown fields are ignored, as the API server does by default.

        Raises PolicyError, naming `place`, for a field that is not a list of strings.
        """
        return cls(
            verbs=_strings(manifest, "verbs", place),
            api_groups=_strings(manifest, "apiGroups", place),
            resources=_strings(manifest, "resources", place),
            resource_names=_strings(manifest, "resourceNames", place),
            non_resource_urls=_strings(manifest, "nonResourceURLs", place),
        )

    def to_manifest(self) -> dict[str, list[str]]:
        """The rule as it stands in YAML, without empty lists."""
        fields = {
            "apiGroups": self.api_groups,
            "resources": self.resources,
            "resourceNames": self.resource_names,
            "nonResourceURLs": self.non_resource_urls,
            "verbs": self.verbs,
        }
        return {key: list(values) for key, values in fields.items() if values}


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a binding is for. `kind` is User, Group or ServiceAccount; only the last has a namespace."""

    kind: str
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class RoleRef:
    """The role that a binding grants: a ClusterRole, or a Role in the binding's own namespace."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Role:
    """A Role (with a namespace) or a ClusterRole (without). `rules` are what it grants, aggregation resolved."""

    kind: RoleKind
    name: str
    namespace: str = ""
    rules: tuple[PolicyRule, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    aggregation: tuple[LabelSelector, ...] = ()

    def to_manifest(self) -> dict[str, Any]:
        """The role as it stands in YAML; an aggregated one without rules, which its controller fills in."""
        manifest = _manifest(self.kind, self.name, self.namespace)
        if self.labels:
            manifest["metadata"]["labels"] = dict(self.labels)
        if self.aggregation:
            selectors = [selector.to_manifest() for selector in self.aggregation]
            return manifest | {"aggregationRule": {"clusterRoleSelectors": selectors}}
        return manifest | {"rules": [rule.to_manifest() for rule in self.rules]}


@dataclass(frozen=True, slots=True)
class Binding:
    """A RoleBinding (grants in its namespace) or a ClusterRoleBinding (grants everywhere, and non-resource URLs)."""

    kind: BindingKind
    name: str
    namespace: str
    role_ref: RoleRef
    subjects: tuple[Subject, ...] = ()

    def to_manifest(self) -> dict[str, Any]:
        """The binding as it stands in YAML."""
        role_ref = {"apiGroup": API_GROUP, "kind": self.role_ref.kind, "name": self.role_ref.name}
        subjects = [
            {"kind": subject.kind, "name": subject.name}
            | ({"namespace": subject.namespace} if subject.namespace else {})
            | ({"apiGroup": API_GROUP} if subject.kind in ("User", "Group") else {})
            for subject in self.subjects
        ]
        return _manifest(self.kind, self.name, self.namespace) | {"roleRef": role_ref, "subjects": subjects}


@dataclass(frozen=True, slots=True)
class Policy:
    """All roles and bindings of a cluster, or of a set of manifests.

    Raises PolicyError where two objects share one identity, or a namespace is missing where the kind needs one.
    """

    roles: tuple[Role, ...] = ()
    bindings: tuple[Binding, ...] = ()

    def __post_init__(self) -> None:
        objects: tuple[Role | Binding, ...] = (*self.roles, *self.bindings)
        for item in objects:
            if bool(item.namespace) == item.kind.startswith("Cluster"):
                problem = "is cluster-scoped, yet has a namespace" if item.namespace else "has no metadata.namespace"
                raise PolicyError(f"{item.kind} {item.name}: {problem}. Correct metadata.namespace.")
        for (kind, namespace, name), count in Counter((o.kind, o.namespace, o.name) for o in objects).items():
            if count > 1:
                place = f"{namespace}/{name}" if namespace else name
                raise PolicyError(f"{kind} {place}: defined {count} times; the last one applied would win. Keep one.")

    @classmethod
    def from_manifests(cls, manifests: Iterable[Mapping[str, Any]], *, namespace: str = "") -> Self:
        """Read the RBAC objects among `manifests` and ignore every other kind.

        `namespace` is the one of Roles and RoleBindings that name none, as with `kubectl apply --namespace`.
        The rules of a ClusterRole with an aggregationRule are replaced by those of the ClusterRoles it selects
        among `manifests`, as the clusterrole-aggregation-controller does.

        Raises PolicyError, naming the object, for what the API server would refuse.
        """
        roles: list[Role] = []
        bindings: list[Binding] = []
        for manifest in manifests:
            if not str(manifest.get("apiVersion", "")).startswith(f"{API_GROUP}/"):
                continue
            match manifest.get("kind"):
                case "Role" | "ClusterRole" as kind:
                    roles.append(_role(kind, manifest, namespace))
                case "RoleBinding" | "ClusterRoleBinding" as kind:
                    bindings.append(_binding(kind, manifest, namespace))
        return cls(_aggregate(roles), tuple(bindings))


def _manifest(kind: str, name: str, namespace: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{API_GROUP}/v1", "kind": kind, "metadata": metadata}


def _aggregate(roles: Sequence[Role]) -> tuple[Role, ...]:
    """Fill aggregated ClusterRoles: selector by selector, roles by name, no rule twice.

    As pkg/controller/clusterroleaggregation does. An aggregated role may select another one, even in a cycle: repeated
    until no role gains a rule. Rules written into an aggregated role count for nothing.
    """
    cluster_roles = sorted((role for role in roles if role.kind == "ClusterRole"), key=lambda role: role.name)
    selected = {
        role.name: [
            other.name
            for selector in role.aggregation
            for other in cluster_roles
            if other.name != role.name and selector.matches(other.labels)
        ]
        for role in cluster_roles
        if role.aggregation
    }
    rules = {role.name: () if role.aggregation else role.rules for role in cluster_roles}
    grown = True
    while grown:
        grown = False
        for name, sources in selected.items():
            union = tuple(dict.fromkeys(rule for source in sources for rule in rules[source]))
            grown |= len(union) > len(rules[name])
            rules[name] = union
    return tuple(replace(role, rules=rules[role.name]) if role.aggregation else role for role in roles)


def _role(kind: RoleKind, manifest: Mapping[str, Any], default_namespace: str) -> Role:
    name, namespace, metadata = _identity(kind, manifest, default_namespace)
    place = f"{kind} {name}"
    rules = tuple(
        PolicyRule.from_manifest(rule, f"{place}: rules[{index}]")
        for index, rule in enumerate(_objects(manifest, "rules", place))
    )
    labels = {str(key): str(value) for key, value in (metadata.get("labels") or {}).items()}
    return Role(kind, name, namespace, rules, labels, _aggregation(kind, manifest, place))


def _aggregation(kind: RoleKind, manifest: Mapping[str, Any], place: str) -> tuple[LabelSelector, ...]:
    rule = manifest.get("aggregationRule") if kind == "ClusterRole" else None
    if rule is None:
        return ()
    if not isinstance(rule, Mapping) or not _objects(rule, "clusterRoleSelectors", place):
        raise PolicyError(
            f"{place}: aggregationRule has no clusterRoleSelectors; the API server refuses it. "
            "Add a selector, or remove aggregationRule."
        )
    try:
        return tuple(LabelSelector.from_manifest(item) for item in _objects(rule, "clusterRoleSelectors", place))
    except ValueError as error:
        raise PolicyError(f"{place}: aggregationRule.clusterRoleSelectors: {error}") from error


def _binding(kind: BindingKind, manifest: Mapping[str, Any], default_namespace: str) -> Binding:
    name, namespace, _ = _identity(kind, manifest, default_namespace)
    place = f"{kind} {name}"
    role_ref = manifest.get("roleRef")
    if not isinstance(role_ref, Mapping):
        raise PolicyError(f"{place}: roleRef is missing. Name the Role or ClusterRole that it grants.")
    subjects = tuple(
        Subject(
            _text(subject, "kind", f"{place}: subjects[{index}]"),
            _text(subject, "name", f"{place}: subjects[{index}]"),
            str(subject.get("namespace") or ""),
        )
        for index, subject in enumerate(_objects(manifest, "subjects", place))
    )
    ref = RoleRef(_text(role_ref, "kind", f"{place}: roleRef"), _text(role_ref, "name", f"{place}: roleRef"))
    return Binding(kind, name, namespace, ref, subjects)


def _identity(kind: str, manifest: Mapping[str, Any], default_namespace: str) -> tuple[str, str, Mapping[str, Any]]:
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping):
        raise PolicyError(f"{kind}: metadata is missing. Give it a metadata.name.")
    name = _text(metadata, "name", f"{kind}: metadata")
    if kind.startswith("Cluster"):
        return name, "", metadata
    return name, str(metadata.get("namespace") or default_namespace), metadata


def _text(manifest: Mapping[str, Any], key: str, place: str) -> str:
    value = manifest.get(key)
    if not isinstance(value, str) or not value:
        raise PolicyError(f"{place}.{key}: expected a text that is not empty, found {value!r}.")
    return value


def _strings(manifest: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    values = manifest.get(key)
    if values is None:
        return ()
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise PolicyError(f"{place}.{key}: expected a list of strings, found {values!r}. Write it as [a, b].")
    return tuple(values)


def _objects(manifest: Mapping[str, Any], key: str, place: str) -> Sequence[Mapping[str, Any]]:
    values = manifest.get(key)
    if values is None:
        return ()
    if not isinstance(values, list | tuple) or not all(isinstance(value, Mapping) for value in values):
        raise PolicyError(f"{place}: {key} is not a list of objects, but {values!r}.")
    return values
