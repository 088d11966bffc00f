"""What can go wrong in an archive.

ArchiveError
├── CorruptObject      an object's bytes are not what a writer wrote
├── ClaimConflict      two claims, or a claim and the log, contradict each other: the archive of another log
└── LogExpired         the log no longer holds records that the archive still needs
"""

from generals_runtime.errors import OperatorError


class ArchiveError(OperatorError):
    """Base of all errors of the archive."""


class CorruptObject(ArchiveError):
    """An object that cannot be read, or whose content is not what its claim and seal say."""


class ClaimConflict(ArchiveError):
    """Claims that cannot both be true, or that belong to another topic than the one being read."""


class LogExpired(ArchiveError):
    """Records between what is archived and where the log now begins were deleted before they were archived."""
