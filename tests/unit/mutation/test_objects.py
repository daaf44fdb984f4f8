"""Mutants of objects: an object is changed, removed or added."""

from agent_identities.chart.objects import Objects
from mutation.objects import ADDITIONS, MUTATORS, object_mutants

ACCOUNT = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "a", "namespace": "n", "labels": {}},
    "automountServiceAccountToken": False,
}
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "r", "namespace": "n"},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"], "resourceNames": ["x"]}],
}
OBJECTS = Objects.from_manifests([ACCOUNT, ROLE])


def test_each_mutant_has_its_own_objects_and_its_own_id() -> None:
    found = list(object_mutants(OBJECTS))
    assert len({mutant.id for mutant in found}) == len(found)
    before = {key: obj.body for key, obj in OBJECTS.items()}
    for mutant in found:
        after = {key: obj.body for key, obj in mutant.objects.items()}
        assert after != before, mutant.id
        assert len(before.keys() ^ after.keys()) <= 2, mutant.id


def test_a_change_without_effect_is_not_a_mutant() -> None:
    """The ServiceAccount does not automount, so no mutant sets automountServiceAccountToken to false."""
    ids = [mutant.id for mutant in object_mutants(OBJECTS) if mutant.mutator == "automount"]
    assert ids == [
        "automount: ServiceAccount n/a: automountServiceAccountToken: true",
        "automount: ServiceAccount n/a: automountServiceAccountToken: null",
    ]


def test_the_names_of_mutators_are_unique() -> None:
    assert not MUTATORS.keys() & ADDITIONS.keys()
    assert "removed" not in MUTATORS
