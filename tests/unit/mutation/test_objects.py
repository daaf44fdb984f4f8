"""One object changed, removed or added."""

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


def test_each_mutant_is_another_set_of_objects_with_an_id_of_its_own() -> None:
    found = list(object_mutants(OBJECTS))
    assert len({mutant.id for mutant in found}) == len(found)
    before = {key: obj.body for key, obj in OBJECTS.items()}
    for mutant in found:
        after = {key: obj.body for key, obj in mutant.objects.items()}
        assert after != before, mutant.id
        assert len(before.keys() ^ after.keys()) <= 2, mutant.id


def test_what_does_not_change_an_object_is_no_mutant() -> None:
    """The account does not automount: there is no mutant that says so again."""
    ids = [mutant.id for mutant in object_mutants(OBJECTS) if mutant.mutator == "automount"]
    assert ids == [
        "automount: ServiceAccount n/a: automountServiceAccountToken: true",
        "automount: ServiceAccount n/a: automountServiceAccountToken: null",
    ]


def test_names_of_mutators_are_told_apart() -> None:
    assert not MUTATORS.keys() & ADDITIONS.keys()
    assert "removed" not in MUTATORS
