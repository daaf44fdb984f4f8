import dataclasses

from agent_identities.chart.objects import Key
from agent_identities.quarantine.plan import Step, TargetAccounts
from agent_identities.quarantine.result import Failure, FailureKind, Revocation

BINDING = Step("RoleBinding", "team", "triage-2:reader-role", "uid-1")
TARGET = TargetAccounts("team", ("triage-2",))
CHANGE = {"agents": {"triage": {"quarantined": [2]}}}


def revocation(*left: Failure) -> Revocation:
    return Revocation(TARGET, "agents", "team", steps=(BINDING,), left=left, values_change=CHANGE)


def test_the_key_of_a_step_is_the_object_that_it_removes() -> None:
    assert BINDING.key == Key("rbac.authorization.k8s.io", "RoleBinding", "team", "triage-2:reader-role")
    assert Step("Pod", "team", "a", "uid-2").key == Key("", "Pod", "team", "a")


def test_an_object_that_was_not_removed_is_a_finding_with_its_key() -> None:
    result = revocation(Failure(FailureKind.NOT_REMOVED, f"{BINDING}: 403 forbidden", BINDING.key))
    (finding,) = result.findings
    assert (finding.rule, finding.location.object) == ("not-removed", BINDING.key)
    assert not result.ok


def test_a_failure_without_an_object_has_no_location() -> None:
    (finding,) = revocation(Failure(FailureKind.SERVER_GONE, "the API server is gone")).findings
    assert (finding.rule, finding.location.object) == ("server-gone", None)


def test_notes_have_a_column_if_there_are_notes() -> None:
    assert "note" not in revocation().to_text()
    noted = dataclasses.replace(revocation(), steps=(dataclasses.replace(BINDING, note="it was changed"),))
    assert "it was changed" in noted.to_text()


def test_a_complete_quarantine_has_no_findings() -> None:
    assert revocation().ok
    assert revocation().findings == ()
