"""What is too large to be sent again is named in one line."""

import pytest

from generals_console.dead_letters import DeadLetter, send_again
from generals_runtime.errors import OperatorError
from generals_runtime.settings import KafkaSettings


def test_a_dead_letter_larger_than_its_topic_takes_is_named() -> None:
    letter = DeadLetter(0, 17, 0, b"key", bytes(3_000_000), {})
    with pytest.raises(OperatorError) as caught:
        send_again(KafkaSettings(bootstrap_servers="127.0.0.1:1"), [letter], "generals.transitions")
    assert str(caught.value) == (
        "dead letter 17 cannot be sent again: a record of 3,000,003 bytes for generals.transitions is over "
        "message.max.bytes"
    )
