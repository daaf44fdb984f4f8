"""Writes and parses the reasons that the RBAC authorizer gives for its decisions.

k8s.io/kubernetes pkg/registry/rbac/validation/rule.go. A SubjectAccessReview has the reason in status.reason, and an
audit event in the annotation authorization.k8s.io/reason.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from agent_identities.rbac.model import Binding, BindingKind, RoleRef, Subject


@dataclass(frozen=True, slots=True)
class GrantedBy:
    """The binding in a reason. ``namespace`` is empty for a ClusterRoleBinding."""

    kind: str
    namespace: str
    name: str
    role_kind: str
    role: str
    subject_kind: str
    subject: str

    @property
    def to_everyone(self) -> bool:
        """Whether Kubernetes itself grants the binding to every ServiceAccount, as with system:discovery."""
        return self.subject_kind == "Group" and self.name.startswith("system:") and self.role.startswith("system:")

    @property
    def binding(self) -> Binding:
        """The binding, without its subjects."""
        kind: BindingKind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        return Binding(kind, self.name, self.namespace, RoleRef(self.role_kind, self.role))

    def __str__(self) -> str:
        """The kind, the namespace and the name: RoleBinding team/triage-1:pod-reader-role."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def allowed_by(binding: Binding, subject: Subject) -> str:
    """The reason for a request that a binding allows for one of its subjects."""
    ref = binding.role_ref
    bound = f"{binding.name}/{binding.namespace}" if binding.kind == "RoleBinding" else binding.name
    who = subject.name
    if subject.kind == "ServiceAccount":
        who = f"{subject.name}/{subject.namespace or binding.namespace}"
    return (
        f"RBAC: allowed by {binding.kind} {_quote(bound)} of {ref.kind} {_quote(ref.name)} "
        f"to {subject.kind} {_quote(who)}"
    )


def role_not_found(ref: RoleRef) -> str:
    """The reason for a denial if a binding refers to a role that does not exist."""
    return f"{ref.kind.lower()}.rbac.authorization.k8s.io {_quote(ref.name)} not found"


_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_GRANTED_BY = re.compile(
    rf"RBAC: allowed by (RoleBinding|ClusterRoleBinding) {_QUOTED} of (\w+) {_QUOTED} to (\w+) {_QUOTED}"
)


@lru_cache(maxsize=10_000)
def granted_by(reason: str) -> GrantedBy | None:
    """The binding in a reason. None for the reason of another authorizer."""
    found = _GRANTED_BY.match(reason)
    if found is None:
        return None
    kind, bound, role_kind, role, subject_kind, subject = (_unquote(text) for text in found.groups())
    name, _, namespace = bound.rpartition("/") if kind == "RoleBinding" else (bound, "", "")
    return GrantedBy(kind, namespace, name, role_kind, role, subject_kind, subject)


_ESCAPES = {**dict(zip("\a\b\f\n\r\t\v", "abfnrtv", strict=True)), "\\": "\\", '"': '"'}


def _quote(text: str) -> str:
    """Go's %q (strconv.Quote). A name can contain any character except `/` and `%`, a user or group any character."""
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    if character in _ESCAPES:
        return "\\" + _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < ord(" ") or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _unquote(text: str) -> str:
    """The inverse of Go's %q, for printable characters."""
    return re.sub(r"\\(.)", r"\1", text)
