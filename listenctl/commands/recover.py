"""``listenctl recover``: repair recordings with a broken header."""

from pathlib import Path
from typing import Annotated

import typer

from listenctl.commands.shared_options import local_path
from listenctl.errors import ListenctlError, UsageError
from listenctl.protocol.audio import MAX_RATE, MIX_CHANNELS, AudioFormat, MixType


def recover(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings: WAV, or raw samples with --raw")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            parser=local_path,
            help="Output file, if there is one input [default: NAME.recovered.wav]",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Read files without a header as 16-bit little-endian samples")
    ] = False,
    sample_rate: Annotated[int, typer.Option(help="Sample rate of --raw", metavar="HZ", min=1, max=MAX_RATE)] = 8000,
    mix_type: Annotated[MixType, typer.Option(help="Mix type of --raw")] = MixType.MONO,
) -> int:
    """
    Repair recordings with a broken header.

    The sizes in a broken header are zero, too large, or a placeholder such as 37 hours. The repaired copy is written
    beside the original, which is never changed. Intact files are left alone.
    """
    if output is not None and str(output) == "-":
        raise UsageError("--output -: a repaired recording can't go to stdout, because its header is written last")
    if output is not None and len(files) > 1:
        raise UsageError("--output takes one input file; leave it out to repair several")
    assumed = AudioFormat(sample_rate, MIX_CHANNELS[mix_type]) if raw else None
    failures = [failure for path in files if (failure := _recover(path, output, assumed))]
    if failures:
        raise ListenctlError("; ".join(failures))
    return 0


command = recover


def _recover(path: Path, output: Path | None, assumed: AudioFormat | None) -> str | None:
    """Repair one file and print the result; return what failed, so that the other files are repaired too."""
    from listenctl.media.files.repair_wav import repair_wav
    from listenctl.terminal.printable_text import printable

    try:
        recovery = repair_wav(path, output=output, assumed=assumed)
    except ListenctlError as exc:
        return str(exc)
    except OSError as exc:
        return f"{path}: {exc.strerror or exc}"
    found = recovery.diagnosis
    if recovery.output is None:
        typer.echo(printable(f"{path}: intact, {found.seconds:.2f} s"))
    else:
        problems = ", ".join(found.problems)
        typer.echo(printable(f"{path}: {problems}; {found.seconds:.2f} s written to {recovery.output}"))
    return None
