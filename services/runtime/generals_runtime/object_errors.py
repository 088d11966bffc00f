"""What can go wrong with an object store, and which of it may be tried again.

StoreError
├── NotFound
├── AlreadyExists      somebody's object lies there; with deterministic objects: compare, it may be one's own
├── StoreUnavailable   passes by itself: 5xx, throttling, time-outs, a network that is away
├── StoreFull          waiting helps only if somebody makes room
└── StoreRefused       permission, credentials, a missing bucket, a wrong URL: a person has to act
"""

from generals_runtime.errors import OperatorError


class StoreError(OperatorError):
    """Base of all of them."""


class NotFound(StoreError):
    """No object with this key."""


class AlreadyExists(StoreError):
    """`put` with `if_absent` found an object with this key."""


class StoreUnavailable(StoreError):
    """The store did not do it now; it may do it later."""


class StoreFull(StoreError):
    """No space, or no quota."""


class StoreRefused(StoreError):
    """The store will not do this until something is changed."""
