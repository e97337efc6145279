"""Options for recordings in object storage."""

import os
from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import local_path, option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.recording.recording_uploads import UploadSettings

storage = partial(option, panel="Object storage")


class KeyLayout(StrEnum):
    TEMPLATE = "template"
    JAMBONZ = "jambonz"


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """How recordings are named and kept in object storage."""

    layout: Annotated[
        KeyLayout, storage("Names in object storage: template is DEST's, jambonz where its portal looks for recordings")
    ] = KeyLayout.TEMPLATE
    time_zone: Annotated[
        str | None, storage("Time zone of dates in names, such as Europe/Berlin [default: UTC]", metavar="ZONE")
    ] = None
    spool: Annotated[
        Path | None,
        storage(
            "Folder of recordings that are not in object storage yet [default: spool in the state folder]",
            metavar="FOLDER",
            parser=local_path,
        ),
    ] = None
    backup_store: Annotated[str | None, storage("Object storage for what the first doesn't take", metavar="DEST")] = (
        None
    )


def read_zone(name: str | None) -> tzinfo:
    from zoneinfo import ZoneInfo

    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as exc:  # ZoneInfoNotFoundError is a KeyError in name only
        raise UsageError(f"--time-zone {name}: is unknown; use a name such as Europe/Berlin") from exc


def read_uploads(
    options: StorageOptions, destination: str, kind: str | None, *, redact: bool
) -> "UploadSettings | None":
    """Return how recordings are uploaded, None if ``destination`` is on this machine."""
    from listenctl.object_storage.object_store import ObjectStore
    from listenctl.object_storage.storage_destination import StorageDestination, is_storage_url
    from listenctl.server.recording.recording_uploads import UploadSettings

    if not is_storage_url(destination):
        for name in ("spool", "backup_store"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} needs DEST in object storage, such as s3://BUCKET/")
        if options.layout is KeyLayout.JAMBONZ:
            raise UsageError("--layout jambonz needs DEST in object storage, where the portal looks for recordings")
        return None
    for_portal, zone = options.layout is KeyLayout.JAMBONZ, read_zone(options.time_zone)
    places = [
        StorageDestination.parse(url, kind=kind, zone=zone, for_portal=for_portal, redact=redact)
        for url in (destination, options.backup_store)
        if url is not None
    ]
    return UploadSettings(
        options.spool or spool_folder(os.environ), [(place, ObjectStore(place.store_url)) for place in places]
    )


def spool_folder(environ: "os._Environ[str]") -> Path:
    """Return the folder of the spool in the state folder of the XDG Base Directory Specification."""
    state = environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "listenctl" / "spool"
