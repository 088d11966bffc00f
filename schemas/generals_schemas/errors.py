"""What can be wrong with a record.

SchemaError
├── BadRecord        the data is wrong: goes to the dead-letter topic
└── UnknownSchema    written by a schema this program does not have: a deployment out of order, so the program stops
"""


class SchemaError(Exception):
    """Base of all errors about records."""


class BadRecord(SchemaError):
    """A record that cannot be decoded or whose values are not allowed.

    reason: a short stable word for headers and metrics (`checksum`, `truncated`, `shape`, …).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class UnknownSchema(SchemaError):
    """A record framed with a fingerprint that no schema here has."""

    def __init__(self, fingerprint: int, known: dict[int, str]) -> None:
        names = ", ".join(f"{name} {key:016x}" for key, name in known.items())
        super().__init__(
            f"schema fingerprint {fingerprint:016x} is unknown (known: {names}); "
            "deploy the consumers of a schema before its producers"
        )
        self.fingerprint = fingerprint
