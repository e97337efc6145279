"""How much memory this process has, and how much it may have; both are known on Linux only."""

import os
from contextlib import suppress
from pathlib import Path

DEFAULT_SHARE = 0.75
"""Of the memory of the machine, or of the control group if that is less."""


def read_memory_use() -> int | None:
    """Return the bytes of memory that this process has."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def default_max_memory(root: Path = Path("/")) -> int | None:
    """Return the most memory that this process should have."""
    most: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        most.append(int((root / "proc/meminfo").read_text().partition("MemTotal:")[2].split()[0]) * 1024)
    group = root / "sys/fs/cgroup"
    with suppress(OSError):
        own = (root / "proc/self/cgroup").read_text().partition("0::/")[2].partition("\n")[0]
        for folder in (group / own, *(group / own).parents):
            # The text `max` means no limit.
            with suppress(OSError, ValueError):
                most.append(int((folder / "memory.max").read_text()))
            if folder == group:
                break
    return int(min(most) * DEFAULT_SHARE) if most else None
