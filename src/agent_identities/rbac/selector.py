"""Label selectors (k8s.io/apimachinery metav1.LabelSelector) of an aggregationRule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """A condition on a label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` meet the condition. An absent label meets NotIn (labels.Requirement.Matches)."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Selects objects that meet all requirements. Without a requirement, it selects every object."""

    requirements: tuple[LabelRequirement, ...] = ()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Self:
        """Read matchLabels and matchExpressions. Raises ValueError for a selector that the API server would reject."""
        labels = (
            LabelRequirement(str(key), "In", (str(value),))
            for key, value in (manifest.get("matchLabels") or {}).items()
        )
        return cls((*labels, *(_requirement(item) for item in manifest.get("matchExpressions") or ())))

    def to_manifest(self) -> dict[str, Any]:
        """The selector of a manifest, with a matchExpression for each requirement."""
        return {
            "matchExpressions": [
                {"key": each.key, "operator": each.operator} | ({"values": list(each.values)} if each.values else {})
                for each in self.requirements
            ]
        }

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the selector selects an object with these labels."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def _requirement(manifest: Mapping[str, Any]) -> LabelRequirement:
    key, operator, values = manifest.get("key"), manifest.get("operator"), tuple(manifest.get("values") or ())
    if not isinstance(key, str) or not key:
        raise ValueError("a matchExpression has no key")
    if operator not in OPERATORS:
        raise ValueError(f"operator {operator!r} of label {key}: expected one of {', '.join(OPERATORS)}")
    if bool(values) != (operator in ("In", "NotIn")):
        requires = "must not have values" if values else "requires values"
        raise ValueError(f"operator {operator} of label {key} {requires}")
    return LabelRequirement(key, operator, values)
