"""
How much space recordings leave on their disk. Below ``--min-free`` no new calls are accepted, and far below it live
calls are not recorded, so that there is space to finish their files.
"""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_MIN_FREE = 1_000_000_000
DEFAULT_SHARE = 0.05
"""Of a disk on which that would be more than this share."""
_STOP_SHARE = 0.25
"""Of ``--min-free``: below it, live calls are not recorded."""
_CALLS_MARGIN, _RECORDING_MARGIN = 1.1, 2.0
"""By which factor there must be more before either begins again."""


@dataclass(frozen=True, slots=True)
class DiskSpace:
    free: int
    total: int


def read_disk_space(folder: Path) -> DiskSpace | None:
    """Return the bytes of the disk of a folder, None if they aren't known; a network file system may hang."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent  # A template such as {date}/ names folders that the first call makes.
        found = os.statvfs(folder)
    except OSError:
        return None
    return DiskSpace(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


class DiskLimit:
    def __init__(self) -> None:
        self.takes_calls = True
        self.records = True
        self.min_free = 0  # bytes
        self._default: int | None = None

    def update(self, space: DiskSpace, chosen: int | None) -> None:
        """Take what there is now; ``chosen`` is the limit, 0 for none, None for one that fits the disk."""
        if self._default is None:
            # A server that starts on a small or a nearly full disk uses some of what there is.
            self._default = min(default_min_free(space), space.free // 2)
        self.min_free = self._default if chosen is None else chosen
        calls, recording = self.min_free, self.min_free * _STOP_SHARE
        self.takes_calls = space.free >= calls * (1 if self.takes_calls else _CALLS_MARGIN)
        self.records = space.free >= recording * (1 if self.records else _RECORDING_MARGIN)

    @property
    def wanted(self) -> int:
        """Bytes that must be free before new calls are accepted again."""
        return int(self.min_free * _CALLS_MARGIN)


def default_min_free(space: DiskSpace) -> int:
    return min(DEFAULT_MIN_FREE, int(space.total * DEFAULT_SHARE))
