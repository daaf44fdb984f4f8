"""Label selectors (k8s.io/apimachinery metav1.LabelSelector), as far as aggregationRule uses them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One condition on one label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` meet the condition; an absent label meets NotIn (labels.Requirement.Matches)."""
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
    """All its requirements must hold; without any it selects everything."""

    requirements: tuple[LabelRequirement, ...] = ()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Self:
        """Read matchLabels and matchExpressions. Raises ValueError for what the API server would refuse."""
        labels = (
            LabelRequirement(str(key), "In", (str(value),))
            for key, value in (manifest.get("matchLabels") or {}).items()
        )
        return cls((*labels, *(_requirement(item) for item in manifest.get("matchExpressions") or ())))

    def to_manifest(self) -> dict[str, Any]:
        """The selector as it stands in YAML, each requirement a matchExpression."""
        return {
            "matchExpressions": [
                {"key": each.key, "operator": each.operator} | ({"values": list(each.values)} if each.values else {})
                for each in self.requirements
            ]
        }

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def _requirement(manifest: Mapping[str, Any]) -> LabelRequirement:
    key, operator, values = manifest.get("key"), manifest.get("operator"), tuple(manifest.get("values") or ())
    if not isinstance(key, str) or not key:
        raise ValueError("a matchExpression has no key")
    if operator not in OPERATORS:
        raise ValueError(f"operator {operator!r} of label {key} is not one of {', '.join(OPERATORS)}")
    if bool(values) != (operator in ("In", "NotIn")):
        raise ValueError(f"operator {operator} of label {key} needs {'no' if values else 'some'} values")
    return LabelRequirement(key, operator, values)
