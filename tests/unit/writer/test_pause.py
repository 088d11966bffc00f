"""A failing store is left alone for longer and longer, up to a minute."""

from generals_writer.pause import LONGEST_S, Pause


def test_pauses_double_up_to_a_minute_and_say_why() -> None:
    pause = Pause()
    waits = [pause.lengthen(f"attempt {n}", now=100.0, jitter=1.0) for n in range(12)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == LONGEST_S
    assert (pause.why, pause.attempts, pause.until) == ("attempt 11", 12, 100.0 + LONGEST_S)


def test_chance_shortens_a_pause_to_no_less_than_half() -> None:
    assert [Pause().lengthen("", now=0.0, jitter=jitter) for jitter in (0.0, 0.5, 1.0)] == [0.25, 0.375, 0.5]


def test_a_pause_of_ten_thousand_attempts_is_still_a_minute() -> None:
    pause = Pause(attempts=10_000)
    assert pause.lengthen("", now=0.0, jitter=1.0) == LONGEST_S
