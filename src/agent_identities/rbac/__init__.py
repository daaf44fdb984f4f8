"""Kubernetes RBAC in pure Python: decisions and their reasons, privilege escalation, and the catalogue of risks."""

from agent_identities.rbac.authorizer import Authorizer, Decision, Grant
from agent_identities.rbac.catalogue import Catalogue, CatalogueError, Match
from agent_identities.rbac.escalation import breakdown, covers, requests_of
from agent_identities.rbac.match import rule_allows
from agent_identities.rbac.model import Binding, Policy, PolicyError, PolicyRule, Role, RoleRef, Subject
from agent_identities.rbac.reason import GrantedBy, granted_by
from agent_identities.rbac.request import VERBS, Request, ServiceAccount, User
from agent_identities.rbac.risks import SEVERITIES, Risk, RiskSeverity
from agent_identities.rbac.selector import LabelRequirement, LabelSelector

__all__ = [
    "SEVERITIES",
    "VERBS",
    "Authorizer",
    "Binding",
    "Catalogue",
    "CatalogueError",
    "Decision",
    "Grant",
    "GrantedBy",
    "LabelRequirement",
    "LabelSelector",
    "Match",
    "Policy",
    "PolicyError",
    "PolicyRule",
    "Request",
    "Risk",
    "RiskSeverity",
    "Role",
    "RoleRef",
    "ServiceAccount",
    "Subject",
    "User",
    "breakdown",
    "covers",
    "granted_by",
    "requests_of",
    "rule_allows",
]
