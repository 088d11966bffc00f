"""The command's own settings: how to reach Kafka."""

from typing import ClassVar

from generals_runtime.settings import ServiceSettings


class ConsoleSettings(ServiceSettings):
    """Section `console`, and what every service shares."""

    section: ClassVar[str] = "console"
