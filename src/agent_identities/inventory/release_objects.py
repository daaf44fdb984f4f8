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
        self._holders: dict[tuple[str, RoleRef], set[str]] = {}
        self._made: set[tuple[str, RoleRef]] = set()
        for identity in declaration.identities:
            for grant in identity.grants:
                held = grant.namespace, self._role(identity, grant)
                self._holders.setdefault(held, set()).add(identity.name)
                if grant.existing is None:
                    self._made.add(held)

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
        return any((namespace, each) in self._made for each in self._spellings(namespace, role))

    def makes_binding(self, binding: Binding) -> bool:
        """Whether a binding has a name that the chart gives to a declared binding of this role in this namespace."""
        namespace, ref = binding.namespace, binding.role_ref
        holders = self._holders_of(namespace, ref)
        roles = {each.name for each in self._spellings(namespace, ref)}
        made = self.makes_role(namespace, ref)
        for spelling in self._spellings(namespace, RoleRef("", binding.name)):
            name = spelling.name.removeprefix(f"{ref.kind}:")
            subject, _, role = name.partition(":")
            if name != spelling.name:  # of an existing role
                if role in roles and (subject in holders or (holders and _BUCKET.fullmatch(subject))):
                    return True
            elif made and (
                _SHARED.sub("", name) in roles  # or the impersonation by the proxy
                or name.removesuffix("-binding") in holders
                or (subject in holders and role in roles)
            ):
                return True
        return False

    def makes_granting(self, granted: GrantedBy) -> bool:
        """`makes_binding` for the binding in a reason of the API server."""
        return self.makes_binding(granted.binding)

    def _holders_of(self, namespace: str, role: RoleRef) -> set[str]:
        return {one for each in self._spellings(namespace, role) for one in self._holders.get((namespace, each), ())}

    def _spellings(self, namespace: str, role: RoleRef) -> tuple[RoleRef, ...]:
        """The reference, and outside the agents' namespace also without the prefix of its name."""
        found = None if namespace == self._declaration.namespace else self._prefix.match(role.name)
        return (role, RoleRef(role.kind, role.name[found.end() :])) if found else (role,)
