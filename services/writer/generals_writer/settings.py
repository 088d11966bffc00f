"""The writer's settings: `writer:` in the YAML, GENERALS_WRITER__… in the environment."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from generals_runtime.objects import StoreRefused, check_store_url
from generals_runtime.settings import ReaderSettings, SettingsGroup


class Destination(SettingsGroup):
    """An archive to be kept up to date. Each is its own consumer group and never waits for another."""

    name: str = Field(
        default="local", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="part of its group's name and of metrics' labels"
    )
    url: str = Field(default="archive", min_length=1, description="a folder, file:///folder or s3://bucket/prefix")
    format: Literal["parquet", "npz", "tfrecord"] = "parquet"

    @field_validator("url")
    @classmethod
    def _names_a_store(cls, url: str) -> str:
        try:
            return check_store_url(url)
        except StoreRefused as error:
            raise ValueError(str(error)) from error


class Rotation(SettingsGroup):
    """When a segment is closed: by whichever comes first. Smaller means sooner in the archive, and more objects."""

    records: int = Field(
        default=50_000, ge=1, description="records of the topic, of up to 256 experiences each (`engine.chunk_ticks`)"
    )
    bytes: int = Field(default=32 * 1024 * 1024, ge=1, description="of its records as they lie in the log")
    record_seconds: float = Field(default=3600.0, gt=0, description="time between its records' timestamps")
    idle_seconds: float = Field(default=30.0, gt=0, description="time without a new record in the partition")
    open_seconds: float = Field(default=300.0, gt=0, description="time since its first record came")


class WriterSettings(ReaderSettings):
    """Everything the writer can be told."""

    section: ClassVar[str] = "writer"

    destinations: tuple[Destination, ...] = (Destination(),)
    rotation: Rotation = Rotation()
    group_prefix: str = Field(
        default="generals-writer", min_length=1, description="groups are named prefix-destination"
    )
    buffer_bytes: int = Field(
        default=128 * 1024 * 1024, ge=1, description="records held for one destination; above it the largest is closed"
    )
    on_expired: Literal["stop", "skip"] = Field(
        default="stop", description="when the log has deleted what is not archived: stop, or skip it and record the gap"
    )

    @field_validator("destinations")
    @classmethod
    def _are_some_and_different(cls, destinations: tuple[Destination, ...]) -> tuple[Destination, ...]:
        if not destinations:
            raise ValueError("name at least one destination")
        for what in ("name", "url"):
            values = [getattr(destination, what) for destination in destinations]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"two destinations have the {what} {value!r}; each needs its own")
        return destinations
