"""``listenctl inspect``: explain captured calls and check them against the protocol."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from listenctl.commands.shared_options import ProfileName, local_path, option, output, with_options
from listenctl.errors import UsageError
from listenctl.protocol.audio import MAX_RATE

if TYPE_CHECKING:
    from listenctl.commands.inspect.run import InspectPlan
    from listenctl.media.files.recording_names import RecordingDestination

reading = partial(option, panel="Input")
checks = partial(option, panel="Checks")
writing = partial(option, panel="Output files")


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """All options of ``inspect``."""

    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="pcap, pcapng, dump, HAR or recording; - is stdin")
    ]
    keylog: Annotated[Path | None, reading("TLS secrets (SSLKEYLOGFILE)")] = None
    call: Annotated[
        list[str] | None,
        reading("Only this call: its id or callSid, a unique prefix, or @latest; repeatable", metavar="CALL"),
    ] = None
    stream_rate: Annotated[
        int | None,
        checks(
            "Rate of the audio that the application streams; 0 if it plays clips [default: detected]",
            metavar="HZ",
            min=0,
            max=MAX_RATE,
        ),
    ] = None
    profile: Annotated[ProfileName, checks("Version of jambonz to compare with")] = "current"
    detect_dtmf: Annotated[bool, checks("Also detect DTMF tones in the audio (slower)")] = False
    timeline: Annotated[bool, output("Print every event of both directions")] = False
    ladder: Annotated[bool, output("Print every event as an arrow between the two sides")] = False
    json: Annotated[bool, output("Print a JSON object per call, or per event with --timeline")] = False
    csv: Annotated[bool, output("Print a table of the calls as CSV")] = False
    fail_on: Annotated[
        Literal["error", "warning"] | None, checks("Exit with status 3 if a rule of at least this severity is broken")
    ] = None
    extract: Annotated[
        str | None, writing("Write the audio of each call to this folder or name template", metavar="DEST")
    ] = None
    format: Annotated[
        str | None, writing("File type of --extract: wav, flac, ogg, mp3 or raw [default: wav]", metavar="FORMAT")
    ] = None
    plot: Annotated[
        Path | None,
        writing("Plot each call: waveforms, spectrograms and messages", metavar="FILE.png", parser=local_path),
    ] = None
    split: Annotated[
        Path | None,
        writing("Write each call to its own capture file in this folder", metavar="FOLDER", parser=local_path),
    ] = None


def inspect(options: InspectOptions) -> int:
    """
    Explain captured calls and check them against the protocol.

    Reads captures from tcpdump and Wireshark, dumps from `serve --dump`, HAR files from browsers, and recordings.
    """
    from listenctl.commands.inspect.run import run_inspect

    return run_inspect(make_inspect_plan(options), sys.stdout)


command = with_options(InspectOptions, inspect)


def make_inspect_plan(options: InspectOptions) -> "InspectPlan":
    """
    Return the inspection that the options describe; raises UsageError if two options contradict each other, or a
    destination can't be used.
    """
    from listenctl.commands.inspect.inspect_results import ResultLayout, TimelineForm
    from listenctl.commands.inspect.run import InspectPlan
    from listenctl.inspection.settings import InspectionSettings
    from listenctl.protocol.jambonz_model.profiles import PROFILES
    from listenctl.protocol.jambonz_model.rule_catalogue import Severity

    _check_output_options(options)
    timeline = TimelineForm.LADDER if options.ladder else TimelineForm.TIMELINE if options.timeline else None
    return InspectPlan(
        files=options.files,
        settings=InspectionSettings(
            profile=PROFILES[options.profile], stream_rate=options.stream_rate, detect_dtmf=options.detect_dtmf
        ),
        keylog=options.keylog,
        layout=ResultLayout.JSON if options.json else ResultLayout.CSV if options.csv else ResultLayout.PEOPLE,
        timeline=TimelineForm.JSON if timeline and options.json else timeline,
        calls=options.call or (),
        fail_on=Severity(options.fail_on) if options.fail_on else None,
        extract=_destination(options),
        plot=options.plot,
        split=options.split,
    )


def _check_output_options(options: InspectOptions) -> None:
    chosen = [
        name
        for name, wanted in (
            ("--ladder", options.ladder),
            ("--timeline", options.timeline),
            ("--csv", options.csv),
            ("--json", options.json),
        )
        if wanted
    ]
    if len(chosen) > 1 and chosen != ["--timeline", "--json"]:
        raise UsageError(f"{chosen[0]} and {chosen[1]} can't be used together")


def _destination(options: InspectOptions) -> "RecordingDestination | None":
    if options.extract is None:
        if options.format:
            raise UsageError("--format needs --extract")
        return None
    from listenctl.media.files.recording_names import RecordingDestination

    destination = RecordingDestination.parse(options.extract, kind=options.format)
    if destination.is_stdout:
        raise UsageError("--extract writes several files; give a folder")
    destination.check_folder()
    return destination
