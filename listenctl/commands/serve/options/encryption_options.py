"""The option of encrypted recordings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.shared_options import option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.media.encryption.age_keys import AgeRecipients
    from listenctl.media.files.recording_names import RecordingDestination


@dataclass(frozen=True, kw_only=True)
class EncryptionOptions:
    """Who can read the recordings."""

    encrypt_to: Annotated[
        list[str] | None,
        option(
            "Encrypt recordings and their sidecars to this age or SSH public key, or those in a file; repeatable",
            panel="Recording",
            metavar="RECIPIENT|FILE",
        ),
    ] = None


def read_encryption(
    options: EncryptionOptions, destination: "RecordingDestination", *, dumping: bool, uploading: bool
) -> "AgeRecipients | None":
    """Return who can read the recordings, None for all; raises UsageError if audio would be on disk unencrypted."""
    if not options.encrypt_to:
        return None
    from listenctl.media.encryption.age_keys import read_recipients

    recipients = read_recipients(options.encrypt_to)
    if destination.is_stdout:
        raise UsageError(
            "--encrypt-to encrypts files; encrypt stdout with age itself, as in `listenctl record - | age -r RECIPIENT`"
        )
    if destination.kind != "wav":
        raise UsageError(
            f"--encrypt-to records WAV only: {destination.kind} is converted from the finished recording, which only "
            "its recipients can read; convert it after `listenctl decrypt`"
        )
    if uploading:
        raise UsageError(
            "--encrypt-to records to a folder: an upload takes names and metadata of objects from the sidecar, which "
            "only the recipients can read; copy the encrypted files with another program"
        )
    if dumping:
        raise UsageError("--dump would write the audio that --encrypt-to protects unencrypted; leave out one of them")
    return recipients
