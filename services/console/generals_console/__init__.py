"""The `generals` command."""
