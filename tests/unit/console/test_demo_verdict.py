"""The demo is clean only if every experience came through every stage, once."""

from dataclasses import replace
from pathlib import Path

import pytest

from generals_console.audit import AuditReport
from generals_console.demo import DemoResult, _result
from generals_console.stages import Reading

AUDIT = AuditReport(games_finished=3, experiences_emitted=90, experiences_collected=90, experiences_archived=90)
LAST = Reading(at_s=9.0, inserted=85, left_out=5)


def _verdict(audit: AuditReport = AUDIT, last: Reading = LAST) -> DemoResult:
    return _result(audit, last, Path("archive"), Path("report.png"), [Reading(at_s=0.0), last], [])


def test_all_came_through_to_both_ends() -> None:
    assert _verdict().clean
    assert _verdict(last=Reading(at_s=9.0, inserted=90)).clean


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": 1},
        {"duplicates": 1},
        {"pending_collect": 1},
        {"pending_archive": 1},
        {"lost_by_marks": 1},
        {"gaps_in_games": 1},
        {"methods_agree": False},
    ],
)
def test_what_the_audit_finds_is_not_clean(changes: dict[str, int]) -> None:
    assert not _verdict(replace(AUDIT, **changes)).clean


@pytest.mark.parametrize("inserted", [84, 86])
def test_a_trainer_that_had_more_or_fewer_is_not_clean(inserted: int) -> None:
    assert not _verdict(last=replace(LAST, inserted=inserted)).clean


def test_what_is_still_on_its_way_is_not_called_lost() -> None:
    verdict = _verdict(replace(AUDIT, pending_collect=2, pending_archive=4))
    assert (verdict.lost, verdict.pending, verdict.clean) == (0, 6, False)


def test_all_that_is_missing_counts_as_lost() -> None:
    assert _verdict(replace(AUDIT, lost=1, lost_by_marks=2, gaps_in_games=4)).lost == 7
