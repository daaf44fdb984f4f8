"""Which roles and bindings on a cluster the declaration refers to, by the names that the chart gives them."""

import re

from agent_identities.chart.names import AGENT_PLACEHOLDER, role_name
from agent_identities.declaration import Declaration, Identity, TierGrant
from agent_identities.rbac import Binding, GrantedBy, RoleRef

_BUCKET = re.compile("[0-9a-f]")  # of a binding that agents share, with bindings: perTier
_SHARED = re.compile(":[0-9a-f]$")


class ReleaseObjects:
    """The roles that each identity is declared to hold in each namespace, and the names of their bindings.

    Outside the agents' namespace, a name begins with that namespace and the release. The values do not contain the name
    of the release: any release matches (templates/_names.tpl).
    """

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._prefix = re.compile(rf"{re.escape(declaration.namespace)}:[^:]+:")
        self._holders: dict[tuple[str, RoleRef, bool], set[str]] = {}
        self._existing: set[tuple[str, RoleRef]] = set()  # of ClusterRoles: without a namespace
        for identity in declaration.identities:
            for grant in identity.grants:
                held = grant.namespace, self._role(identity, grant), grant.existing is None
                self._holders.setdefault(held, set()).add(identity.name)
                if grant.existing is not None:
                    self._existing.add((grant.namespace if grant.existing.kind == "Role" else "", grant.existing))

    def _role(self, identity: Identity, grant: TierGrant) -> RoleRef:
        """The role of a grant, without the prefix of its name."""
        if grant.existing is not None:
            return grant.existing
        proxy = self._declaration.proxy.name
        kind = "Role" if grant.namespace else "ClusterRole"
        if grant.impersonation:
            return RoleRef(kind, f"{proxy}-impersonation")
        rules = self._declaration.tiers[grant.tier]
        of_each = any(AGENT_PLACEHOLDER in name for rule in rules for name in rule.resource_names)
        return RoleRef(kind, role_name(grant.tier, proxy=proxy, agent=identity.name if of_each else ""))

    def holds(self, identity: Identity, namespace: str, role: RoleRef) -> bool:
        """Whether the values declare that an identity holds this role in this namespace ("": in the whole cluster)."""
        return identity.name in self._holders_of(namespace, role)

    def makes_role(self, namespace: str, role: RoleRef) -> bool:
        """Whether the chart makes this role, for bindings in this namespace."""
        name = self._given(namespace, role.name)
        return (namespace, RoleRef(role.kind, name), True) in self._holders

    def guarded_role(self, namespace: str, role: RoleRef) -> bool:
        """Whether the guard `roles` covers a role: templates/guards/roles.yaml."""
        if role.kind == "Role" and namespace == self._declaration.namespace:
            return True
        return self._prefix.match(role.name) is not None or (namespace, role) in self._existing

    def makes_binding(self, binding: Binding) -> bool:
        """Whether a binding has a name that the chart gives to a declared binding of this role in this namespace."""
        namespace, ref = binding.namespace, binding.role_ref
        holders = self._holders_of(namespace, ref)
        subject, _, role = binding.name.partition(":")
        if self.makes_role(namespace, ref) and (
            _SHARED.sub("", binding.name) == ref.name  # or the impersonation by the proxy
            or (subject in holders and role == ref.name)
            or any(binding.name == f"{holder}-binding" for holder in holders)
        ):
            return True
        kind, _, rest = self._given(namespace, binding.name).partition(":")
        subject, _, role = rest.partition(":")
        shared = bool(holders) and bool(_BUCKET.fullmatch(subject))
        return (kind, role) == (ref.kind, ref.name) and (shared or subject in holders)

    def makes_granting(self, granted: GrantedBy) -> bool:
        """`makes_binding` for the binding in a reason of the API server."""
        return self.makes_binding(granted.binding)

    def _holders_of(self, namespace: str, role: RoleRef) -> set[str]:
        made = RoleRef(role.kind, self._given(namespace, role.name))
        existing = self._holders.get((namespace, role, False), set())
        return existing | self._holders.get((namespace, made, True), set())

    def _given(self, namespace: str, name: str) -> str:
        """A name without the prefix of the chart; "" for a name outside the agents' namespace without the prefix."""
        if namespace == self._declaration.namespace:
            return name
        found = self._prefix.match(name)
        return name[found.end() :] if found else ""
