"""``listenctl recover``: mend recordings that something else left broken."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.option_choices import MixType
from listenctl.errors import ListenctlError, UsageError

if TYPE_CHECKING:
    from listenctl.protocol.audio import AudioFormat

app = typer.Typer(add_completion=False)


@app.command()
def recover(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Recordings: WAV, or bare samples with --raw.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; for one file. Default: NAME.recovered.wav.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Files without a header are samples as on the wire.")] = False,
    sample_rate: Annotated[int, typer.Option(help="Hz, of --raw.", min=1, max=384000)] = 8000,
    mix_type: Annotated[MixType, typer.Option(help="Of --raw.")] = MixType.MONO,
) -> int:
    """
    Mend recordings whose header lies: sizes of zero, of 37 hours, or of more than there is.

    The original is never touched; the mended copy is written beside it. A healthy file is left alone.
    """
    from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat

    if output is not None and str(output) == "-":
        raise UsageError("a mended recording needs a file: its header is written last")
    if output is not None and len(files) > 1:
        raise UsageError("--output takes one file; leave it out to mend several")
    assumed = AudioFormat(sample_rate, MIX_CHANNELS[mix_type]) if raw else None
    failures = [failure for path in files if (failure := _recover(path, output, assumed))]
    if failures:
        raise ListenctlError("; ".join(failures))
    return 0


def _recover(path: Path, output: Path | None, assumed: "AudioFormat | None") -> str | None:
    """Mend one file, say what was done, and return what went wrong, so that the other files get their turn."""
    from listenctl.media.files.repair_wav import repair_wav as mend
    from listenctl.terminal.printable_text import printable

    try:
        recovery = mend(path, output=output, assumed=assumed)
    except ListenctlError as exc:
        return str(exc)
    except OSError as exc:
        return f"{path}: {exc.strerror or exc}"
    found = recovery.diagnosis
    if recovery.output is None:
        typer.echo(printable(f"{path}: healthy, {found.seconds:.2f} s"))
    else:
        problems = ", ".join(found.problems)
        typer.echo(printable(f"{path}: {problems}; {found.seconds:.2f} s written to {recovery.output}"))
    return None
