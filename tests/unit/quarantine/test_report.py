import dataclasses

from agent_identities.chart.objects import Key
from agent_identities.quarantine.plan import Step, TargetAccounts
from agent_identities.quarantine.report import upgrade_commands
from agent_identities.quarantine.result import Failure, FailureKind, Outliving, OutlivingKind, Revocation
from agent_identities.report.model import Severity

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


def test_what_outlives_the_quarantine_is_a_warning_and_does_not_make_it_incomplete() -> None:
    watches = Outliving(OutlivingKind.CONNECTION, "watches", "Restart the API servers.")
    result = dataclasses.replace(revocation(), outlives=(watches,))
    (finding,) = result.findings
    assert (finding.rule, finding.severity, finding.remediation) == (
        "open-connections",
        Severity.WARNING,
        ("Restart the API servers.",),
    )
    assert result.ok


def test_the_upgrade_has_a_line_for_each_helm_and_escapes_the_keys() -> None:
    change = {"agents": {"triage": {"quarantined": [1, 2]}, "a.b": {"quarantined": True}}}
    four, three = upgrade_commands(dataclasses.replace(revocation(), values_change=change))
    sets = ["--set", "agents.triage.quarantined={1,2}", "--set", r"agents.a\.b.quarantined=true"]
    assert three == ["helm", "upgrade", "agents", "CHART", "-n", "team", "--reset-then-reuse-values", *sets]
    assert [word for word in four if word not in three] == ["--server-side=true", "--force-conflicts"]


def test_many_values_are_given_as_a_file() -> None:
    change = {"agents": {f"a{number}": {"quarantined": True} for number in range(20)}}
    _, three = upgrade_commands(dataclasses.replace(revocation(), values_change=change))
    assert three[-2:] == ["-f", "quarantine.yaml"]


def test_an_upgrade_that_helm_refuses_is_not_printed() -> None:
    result = dataclasses.replace(revocation(), upgradable=False)
    assert "helm upgrade agents" not in result.to_text()
    assert "quarantined: [2]" in result.to_text()


def test_no_upgrade_restores_an_account_that_the_chart_does_not_create() -> None:
    text = dataclasses.replace(revocation(), not_created=("triage-2",)).to_text()
    assert "restores the bindings of triage-2" in text
    assert "restores the rights" not in text


def test_a_complete_quarantine_has_no_findings() -> None:
    assert revocation().ok
    assert revocation().findings == ()
