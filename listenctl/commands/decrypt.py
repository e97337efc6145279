"""``listenctl decrypt``: decrypt recordings that were made with --encrypt-to."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.shared_options import local_path
from listenctl.errors import CheckFailedError, ListenctlError, UsageError
from listenctl.terminal.printable_text import printable
from listenctl.terminal.standard_streams import write_message

if TYPE_CHECKING:
    from listenctl.media.encryption.age_keys import AgeIdentities

EXTENSION = ".age"


def decrypt(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Encrypted recordings (.wav.age) or sidecars (.json.age)")
    ],
    identity: Annotated[
        list[Path],
        typer.Option("--identity", "-i", metavar="FILE", help="File of secret keys: of age, or a private key of SSH"),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Output file for one input, a folder, or - for stdout [default: beside the input, without .age]",
        ),
    ] = None,
) -> int:
    """
    Decrypt recordings that were made with --encrypt-to.

    Their sidecars are decrypted with them. A recording whose server was killed is decrypted up to its last second.
    Whatever is missing in a recording is reported, and the exit status is 3 then.
    """
    from listenctl.media.encryption.age_keys import read_identities

    if output is not None and len(files) > 1 and not _is_folder(output):
        raise UsageError("--output takes one input file, unless it is a folder; leave it out to decrypt several")
    keys = read_identities(identity, lambda path: getpass.getpass(f"Passphrase of {path}: "))
    failures: list[str] = []
    incomplete = False
    # A sidecar is decrypted with its recording; one that is named as well is done then.
    for path in sorted(files, key=lambda path: path.name.endswith(f".json{EXTENSION}")):
        try:
            incomplete |= _decrypt(path, keys, output, files)
        except ListenctlError as exc:
            failures.append(str(exc))
    if failures:
        raise ListenctlError("; ".join(failures))
    if incomplete:
        raise CheckFailedError("not all of the audio is there; see above")
    return 0


command = decrypt


def _decrypt(path: Path, keys: "AgeIdentities", output: str | None, files: list[Path]) -> bool:
    """Decrypt one file and print the result; return whether anything is missing."""
    from listenctl.media.encryption.decrypt_recording import (
        decrypt_recording,
        decrypt_sidecar,
        is_encrypted_recording,
        sidecar_names,
    )

    target = _output_path(path, output)
    if not is_encrypted_recording(path):
        if target is None:
            raise UsageError("--output - is for recordings")
        if any(path.name in sidecar_names(other.name) and other.parent == path.parent for other in files):
            return False
        decrypt_sidecar(path, keys, target)
        typer.echo(printable(f"{path}: decrypted to {target}"))
        return False
    result = decrypt_recording(path, keys, target)
    if target is not None:
        typer.echo(printable(f"{path}: {result.seconds:.2f} s decrypted to {target}"))
    for problem in result.problems:
        write_message(f"{path}: {problem}")
    return bool(result.problems)


def _output_path(path: Path, output: str | None) -> Path | None:
    """Return where to write what is in ``path``, None for stdout."""
    if output == "-":
        return None
    name = path.name.removesuffix(EXTENSION) if path.name.endswith(EXTENSION) else f"{path.name}.decrypted"
    if output is None:
        return path.with_name(name)
    return local_path(output) / name if _is_folder(output) else local_path(output)


def _is_folder(output: str) -> bool:
    return output.endswith("/") or Path(output).is_dir()
