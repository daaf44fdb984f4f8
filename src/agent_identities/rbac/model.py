"""Roles, bindings and rules as values, and a policy: all roles and bindings of an API server.

The types follow rbac.authorization.k8s.io/v1 (k8s.io/api/rbac/v1/types.go). Lists are tuples. An absent list is empty.
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
    """A role or binding that the API server would reject."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """A rule of a role: every combination of its verbs with its resources (by group and name) or with its URLs."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = ()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], location: str = "rule") -> Self:
        """Read a rule of a manifest. Unknown fields are ignored, as by the API server by default.

        Raises PolicyError, with `location`, for a field that is not a list of strings.
        """
        return cls(
            verbs=_strings(manifest, "verbs", location),
            api_groups=_strings(manifest, "apiGroups", location),
            resources=_strings(manifest, "resources", location),
            resource_names=_strings(manifest, "resourceNames", location),
            non_resource_urls=_strings(manifest, "nonResourceURLs", location),
        )

    def to_manifest(self) -> dict[str, list[str]]:
        """The rule of a manifest, without empty lists."""
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
    """A subject of a binding. `kind` is User, Group or ServiceAccount. Only a ServiceAccount has a namespace."""

    kind: str
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class RoleRef:
    """The role that a binding grants: a ClusterRole, or a Role in the namespace of the binding."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Role:
    """A Role, with a namespace, or a ClusterRole, without. `rules` includes the rules of aggregated ClusterRoles."""

    kind: RoleKind
    name: str
    namespace: str = ""
    rules: tuple[PolicyRule, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    aggregation: tuple[LabelSelector, ...] = ()

    @classmethod
    def from_manifest(cls, kind: RoleKind, manifest: Mapping[str, Any], *, namespace: str = "") -> Self:
        """Read a role with its own rules, as an API server returns it.

        `namespace` is the namespace of a Role without one. Raises PolicyError for an invalid field.
        """
        name, namespace, metadata = _identity(kind, manifest, namespace)
        location = f"{kind} {name}"
        rules = tuple(
            PolicyRule.from_manifest(rule, f"{location}: rules[{index}]")
            for index, rule in enumerate(_objects(manifest, "rules", location))
        )
        labels = {str(key): str(value) for key, value in (metadata.get("labels") or {}).items()}
        return cls(kind, name, namespace, rules, labels, _aggregation(kind, manifest, location))

    def to_manifest(self) -> dict[str, Any]:
        """The manifest of the role. An aggregated role has no rules in it, because its controller sets them."""
        manifest = _manifest(self.kind, self.name, self.namespace)
        if self.labels:
            manifest["metadata"]["labels"] = dict(self.labels)
        if self.aggregation:
            selectors = [selector.to_manifest() for selector in self.aggregation]
            return manifest | {"aggregationRule": {"clusterRoleSelectors": selectors}}
        return manifest | {"rules": [rule.to_manifest() for rule in self.rules]}


@dataclass(frozen=True, slots=True)
class Binding:
    """A RoleBinding (grants in its namespace) or a ClusterRoleBinding (grants cluster-wide, with non-resource URLs)."""

    kind: BindingKind
    name: str
    namespace: str
    role_ref: RoleRef
    subjects: tuple[Subject, ...] = ()

    @classmethod
    def from_manifest(cls, kind: BindingKind, manifest: Mapping[str, Any], *, namespace: str = "") -> Self:
        """Read a binding. `namespace` is the namespace of a RoleBinding without one. Raises PolicyError."""
        name, namespace, _ = _identity(kind, manifest, namespace)
        location = f"{kind} {name}"
        role_ref = manifest.get("roleRef")
        if not isinstance(role_ref, Mapping):
            raise PolicyError(f"{location}: roleRef is missing. Set it to the Role or ClusterRole to grant.")
        subjects = tuple(
            Subject(
                _text(subject, "kind", f"{location}: subjects[{index}]"),
                _text(subject, "name", f"{location}: subjects[{index}]"),
                str(subject.get("namespace") or ""),
            )
            for index, subject in enumerate(_objects(manifest, "subjects", location))
        )
        ref = RoleRef(_text(role_ref, "kind", f"{location}: roleRef"), _text(role_ref, "name", f"{location}: roleRef"))
        return cls(kind, name, namespace, ref, subjects)

    def to_manifest(self) -> dict[str, Any]:
        """The manifest of the binding."""
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

    Raises PolicyError if two objects have the same kind, namespace and name, or if the namespace is wrong for the kind.
    """

    roles: tuple[Role, ...] = ()
    bindings: tuple[Binding, ...] = ()

    def __post_init__(self) -> None:
        objects: tuple[Role | Binding, ...] = (*self.roles, *self.bindings)
        for item in objects:
            if bool(item.namespace) == item.kind.startswith("Cluster"):
                problem = "is cluster-scoped, but has a namespace" if item.namespace else "has no metadata.namespace"
                raise PolicyError(f"{item.kind} {item.name}: {problem}. Correct metadata.namespace.")
        for (kind, namespace, name), count in Counter((o.kind, o.namespace, o.name) for o in objects).items():
            if count > 1:
                location = f"{namespace}/{name}" if namespace else name
                raise PolicyError(
                    f"{kind} {location}: defined {count} times. The last applied object would replace the others. "
                    "Keep one."
                )

    @classmethod
    def from_manifests(cls, manifests: Iterable[Mapping[str, Any]], *, namespace: str = "") -> Self:
        """Read the RBAC objects in `manifests` and ignore every other kind.

        `namespace` is the namespace of Roles and RoleBindings without one, as with `kubectl apply --namespace`.
        The rules of a ClusterRole with an aggregationRule are replaced by the rules of the ClusterRoles in `manifests`
        that it selects, as by the clusterrole-aggregation-controller.

        Raises PolicyError, with the object, for an object that the API server would reject.
        """
        roles: list[Role] = []
        bindings: list[Binding] = []
        for manifest in manifests:
            if not str(manifest.get("apiVersion", "")).startswith(f"{API_GROUP}/"):
                continue
            match manifest.get("kind"):
                case "Role" | "ClusterRole" as kind:
                    roles.append(Role.from_manifest(kind, manifest, namespace=namespace))
                case "RoleBinding" | "ClusterRoleBinding" as kind:
                    bindings.append(Binding.from_manifest(kind, manifest, namespace=namespace))
        return cls(_aggregate(roles), tuple(bindings))


def _manifest(kind: str, name: str, namespace: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{API_GROUP}/v1", "kind": kind, "metadata": metadata}


def _aggregate(roles: Sequence[Role]) -> tuple[Role, ...]:
    """Set the rules of aggregated ClusterRoles: in the order of selectors, then of role names, without duplicates.

    As in pkg/controller/clusterroleaggregation. An aggregated role can select another aggregated role, even in a cycle:
    the loop ends when no role gets a new rule. The rules in the manifest of an aggregated role are ignored.
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


def _aggregation(kind: RoleKind, manifest: Mapping[str, Any], location: str) -> tuple[LabelSelector, ...]:
    rule = manifest.get("aggregationRule") if kind == "ClusterRole" else None
    if rule is None:
        return ()
    if not isinstance(rule, Mapping) or not _objects(rule, "clusterRoleSelectors", location):
        raise PolicyError(
            f"{location}: aggregationRule has no clusterRoleSelectors, and the API server rejects it. "
            "Add a selector, or remove aggregationRule."
        )
    try:
        return tuple(LabelSelector.from_manifest(item) for item in _objects(rule, "clusterRoleSelectors", location))
    except ValueError as error:
        raise PolicyError(f"{location}: aggregationRule.clusterRoleSelectors: {error}") from error


def _identity(kind: str, manifest: Mapping[str, Any], default_namespace: str) -> tuple[str, str, Mapping[str, Any]]:
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping):
        raise PolicyError(f"{kind}: metadata is missing. Set metadata.name.")
    name = _text(metadata, "name", f"{kind}: metadata")
    if kind.startswith("Cluster"):
        return name, "", metadata
    return name, str(metadata.get("namespace") or default_namespace), metadata


def _text(manifest: Mapping[str, Any], key: str, location: str) -> str:
    value = manifest.get(key)
    if not isinstance(value, str) or not value:
        raise PolicyError(f"{location}.{key}: expected a non-empty string, found {value!r}.")
    return value


def _strings(manifest: Mapping[str, Any], key: str, location: str) -> tuple[str, ...]:
    values = manifest.get(key)
    if values is None:
        return ()
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise PolicyError(f"{location}.{key}: expected a list of strings, found {values!r}. Example: [a, b].")
    return tuple(values)


def _objects(manifest: Mapping[str, Any], key: str, location: str) -> Sequence[Mapping[str, Any]]:
    values = manifest.get(key)
    if values is None:
        return ()
    if not isinstance(values, list | tuple) or not all(isinstance(value, Mapping) for value in values):
        raise PolicyError(f"{location}: {key}: expected a list of objects, found {values!r}.")
    return values
