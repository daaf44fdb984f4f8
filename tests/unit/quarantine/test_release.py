"""Which revision of a release Helm reuses, by the statuses of its records."""

import pytest

from agent_identities.quarantine.release import Revision, reused


def of(*statuses: str) -> tuple[Revision, ...]:
    return tuple(Revision(number, status, f"/v{number}") for number, status in enumerate(statuses, start=1))


@pytest.mark.parametrize(
    ("statuses", "number", "is_reused"),
    [
        (("deployed",), 1, True),
        (("superseded", "deployed"), 2, True),
        (("deployed", "failed"), 1, True),
        (("deployed", "failed", "failed"), 1, True),
        (("superseded", "deployed", "pending-upgrade"), 2, True),
        (("superseded", "deployed", "pending-rollback"), 2, True),
        (("failed",), 1, True),
        (("superseded",), 1, True),
        (("pending-install",), 1, False),
        (("superseded", "uninstalling"), 2, False),
        (("superseded", "uninstalled"), 2, False),
    ],
)
def test_the_deployed_revision_is_reused_whatever_came_after_it(
    statuses: tuple[str, ...], number: int, is_reused: bool
) -> None:
    found = reused(of(*statuses))
    assert found is not None
    assert (found[0].number, found[1]) == (number, is_reused)


def test_records_are_ordered_by_number_and_not_by_name() -> None:
    found = reused(Revision(number, "failed", "") for number in (9, 10, 2))
    assert found is not None
    assert found[0].number == 10


def test_a_release_without_a_record_has_no_revision() -> None:
    assert reused(()) is None
