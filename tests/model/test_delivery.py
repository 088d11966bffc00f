"""Every interleaving of collectors, zombies, crashes, rewinds and readers, up to bounds: each batch is handed on once.

The reader is the client's own. Mutants of the protocol must be caught, else the walk proves nothing.
"""

import pytest
from delivery_model import Bounds, Protocol, Verdict, walk

PROMPT = [
    Bounds(batches=(2, 2, 2), faults=4),
    Bounds(batches=(1, 3, 2), faults=3),
    Bounds(batches=(2, 1, 2, 1), faults=2),
]
LAGGING = [
    Bounds(batches=(2, 2), faults=1, lagging=True, reader_crashes=2),
    Bounds(batches=(1, 2), faults=1, lagging=True, reader_crashes=3),
]


def bounds_name(bounds: Bounds) -> str:
    return f"{bounds.batches}-{bounds.faults}-{'lagging' if bounds.lagging else 'prompt'}"


def shortest(verdict: Verdict, what: str) -> tuple[str, ...]:
    return next(violation.path for violation in verdict.violations if violation.what == what)


@pytest.mark.parametrize("bounds", PROMPT + LAGGING, ids=bounds_name)
def test_no_interleaving_loses_or_doubles_a_batch(bounds: Bounds) -> None:
    verdict = walk(Protocol(), bounds)
    assert not verdict.violations, verdict.violations
    assert verdict.states > 1_000


@pytest.mark.parametrize("bounds", [PROMPT[0], LAGGING[0]], ids=bounds_name)
def test_acknowledging_before_delivery_is_caught_as_loss(bounds: Bounds) -> None:
    verdict = walk(Protocol(deliver_before_acknowledging=False), bounds)
    assert "loss" in verdict.kinds
    assert "duplicate" not in verdict.kinds
    assert any(step.startswith("commit") for step in shortest(verdict, "loss"))


@pytest.mark.parametrize("bounds", [PROMPT[0], LAGGING[0]], ids=bounds_name)
def test_a_reader_that_saves_no_marks_is_caught_with_duplicates(bounds: Bounds) -> None:
    verdict = walk(Protocol(save_marks=False), bounds)
    assert "duplicate" in verdict.kinds
    assert any(step.startswith("the reader") for step in shortest(verdict, "duplicate"))


def test_going_on_after_a_failed_send_is_caught_as_loss() -> None:
    assert "loss" in walk(Protocol(stop_after_a_failed_send=False), PROMPT[0]).kinds


def test_without_faults_even_the_mutants_are_right() -> None:
    """What is caught above is caught because of the faults, not because the model is wrong."""
    calm = Bounds(faults=0, lagging=True, reader_crashes=0)
    for protocol in (Protocol(save_marks=False), Protocol(stop_after_a_failed_send=False)):
        assert not walk(protocol, calm).violations
