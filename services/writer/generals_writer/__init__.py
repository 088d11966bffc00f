"""The exactly-once archive of experiences."""
