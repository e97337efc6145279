"""The options of how long recordings are kept."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import option, parse_seconds, parse_size
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.media.files.recording_names import RecordingDestination
    from listenctl.server.retention.delete_recordings import RetentionSettings

retention = partial(option, panel="Retention")


@dataclass(frozen=True, kw_only=True)
class RetentionOptions:
    """How long recordings are kept."""

    retain: Annotated[
        str | None,
        retention("Delete recordings this long after their calls, such as 30d [default: never]", metavar="TIME"),
    ] = None
    retain_bytes: Annotated[
        str | None,
        retention("Delete the oldest recordings beyond this size, such as 500GB [default: no limit]", metavar="SIZE"),
    ] = None


def read_retention(options: RetentionOptions, destination: "RecordingDestination | None") -> "RetentionSettings | None":
    """
    Return which recordings to delete, None for none; raises UsageError if a value is invalid, or ``destination`` is no
    folder, which is None for object storage.
    """
    if options.retain is None and options.retain_bytes is None:
        return None
    from listenctl.server.retention.delete_recordings import RetentionPolicy, RetentionSettings

    max_age = None if options.retain is None else parse_seconds(options.retain, "--retain", "a time such as 12h or 30d")
    max_bytes = None if options.retain_bytes is None else parse_size(options.retain_bytes, "--retain-bytes")
    if destination is None:
        raise UsageError("--retain and --retain-bytes are for folders; give the bucket a lifecycle rule instead")
    folder = destination.fixed_folder
    if folder is None:
        raise UsageError("--retain and --retain-bytes are for folders; stdout keeps nothing")
    return RetentionSettings(folder, destination.folder_depth, RetentionPolicy(max_age, max_bytes))
