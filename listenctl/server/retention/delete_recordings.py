"""Decide which recordings of a folder have been kept long enough, and delete them."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from listenctl.server.retention.stored_recordings import StoredRecording, visit_recordings


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long recordings are kept, and how many bytes of them; None is no limit."""

    max_age: float | None = None  # seconds since the end of the call
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """The policy of the recordings that are ``depth`` folders below a folder."""

    folder: Path
    depth: int
    policy: RetentionPolicy


@dataclass(frozen=True, slots=True)
class Deletion:
    """A recording that has been kept long enough; it stays if ``kept_because`` is not empty."""

    recording: StoredRecording
    reason: str
    kept_because: str


def delete_recordings(
    settings: RetentionSettings, now: float, report: Callable[[Deletion], None], *, dry_run: bool = False
) -> None:
    """
    Delete what the policy doesn't keep, and report each; with ``dry_run`` only report. Raises OSError if the folder
    can't be read.

    The sizes are added up first, which takes 16 bytes for each recording, however many there are.
    """
    policy = settings.policy
    expired = -inf if policy.max_age is None else now - policy.max_age
    excess = _Excess() if policy.max_bytes is None else _measure(settings, now, expired, policy.max_bytes)

    def visit(recording: StoredRecording) -> bool:
        if recording.ended < expired:
            reason = "age"
        elif recording.ended <= excess.until and (recording.kept_because or excess.bytes > 0):
            reason = "bytes"
            if not recording.kept_because:
                excess.bytes -= recording.size
        else:
            return False
        deletion = Deletion(recording, reason, recording.kept_because)
        deleted = False
        if not dry_run and not recording.kept_because:
            try:
                deleted = recording.delete()
            except OSError as exc:
                deletion = replace(deletion, kept_because=f"it can't be deleted: {exc.strerror or exc}")
            else:
                if not deleted:
                    return False  # Another server has done it.
        report(deletion)
        return deleted

    visit_recordings(settings.folder, settings.depth, now, visit)


@dataclass(slots=True)
class _Excess:
    """Bytes to delete of the recordings that ended ``until`` a time."""

    bytes: int = 0
    until: float = -inf


def _measure(settings: RetentionSettings, now: float, expired: float, max_bytes: int) -> _Excess:
    """Return what must go beside what has expired."""
    ends, sizes = array("d"), array("q")
    total = 0

    def count(recording: StoredRecording) -> bool:
        nonlocal total
        if recording.kept_because or recording.ended >= expired:
            total += recording.size
        if not recording.kept_because and recording.ended >= expired:
            ends.append(recording.ended)
            sizes.append(recording.size)
        return False

    visit_recordings(settings.folder, settings.depth, now, count)
    excess = _Excess(total - max_bytes)
    left = excess.bytes
    for index in sorted(range(len(ends)), key=ends.__getitem__):
        if left <= 0:
            break
        left -= sizes[index]
        excess.until = ends[index]
    return excess
