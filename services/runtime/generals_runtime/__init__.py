"""The one shared library of the services."""
