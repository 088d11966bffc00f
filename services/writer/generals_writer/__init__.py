"""The exactly-once archive of experiences."""

__version__ = "0.1.0"
