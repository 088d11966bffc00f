"""The samples-per-insert limiter."""

import pytest

from generals_trainer.limiter import SamplesPerInsert


@pytest.mark.parametrize("ratio", [0.25, 1.0, 8.0])
def test_the_ratio_is_kept_within_one_percent_once_warm(ratio: float) -> None:
    limiter = SamplesPerInsert(ratio, warmup=1000)
    while limiter.inserted < 100_000:
        if limiter.may_sample(128):
            limiter.sampled += 128
        else:
            limiter.inserted += 64
    assert limiter.error < 0.01
    assert limiter.achieved == pytest.approx(ratio, rel=0.01)


def test_nothing_is_sampled_while_warming_up() -> None:
    limiter = SamplesPerInsert(None, warmup=100, inserted=99)
    assert not limiter.may_sample(1)
    limiter.inserted += 1
    assert limiter.may_sample(10**9)
    assert limiter.error == 0.0
