"""``listenctl monitor``: play the live calls of a running server and show their levels."""

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.live_calls.live_call_options import ServerNameOptions, check_call
from listenctl.commands.shared_options import local_path, option, output, run_async, with_options
from listenctl.errors import UsageError
from listenctl.media.devices.mixer import ChannelChoice

if TYPE_CHECKING:
    from listenctl.media.devices.sound_devices import SoundDevice

sound = partial(option, panel="Sound")
_DEVICE_HEADINGS = ("NUMBER", "NAME", "SYSTEM", "IN", "OUT", "RATE", "DEFAULT")


@dataclass(frozen=True, kw_only=True)
class MonitorOptions(ServerNameOptions):
    """All options of ``monitor``."""

    call: Annotated[
        str | None,
        typer.Argument(help="Call: its id or callSid, a unique prefix, or @latest [default: all live calls]"),
    ] = None
    all: Annotated[bool, sound("Play all calls at once, spread from left to right")] = False
    channel: Annotated[ChannelChoice, sound("Channels of stereo calls to play")] = ChannelChoice.BOTH
    mute: Annotated[bool, sound("Start muted")] = False
    device: Annotated[
        str | None, sound("Sound device, by number or part of its name [default: the system's]", metavar="DEVICE")
    ] = None
    list_devices: Annotated[bool, sound("List the sound devices and exit")] = False
    save: Annotated[
        str | None, output("Save the sound to a new WAV file; - writes raw samples to stdout", metavar="FILE")
    ] = None
    json: Annotated[bool, output("With --list-devices, print one JSON object")] = False


def monitor(options: MonitorOptions) -> int:
    """
    Listen to live calls and watch their levels.

    On a terminal it shows a meter for each call, and keys select calls and channels.
    """
    if options.list_devices:
        return _list_devices(options)
    if options.json:
        raise UsageError("--json needs --list-devices; for the events of calls use `listenctl events --json`")
    if options.save == "-" and sys.stdout.isatty():
        raise UsageError("stdout is a terminal; pipe the sound, as in `listenctl monitor --save - | ...`")
    if options.save not in (None, "-"):
        local_path(options.save)
    if options.save not in (None, "-") and not options.save.lower().endswith(".wav"):
        raise UsageError(f"--save {options.save}: the file must end in .wav, or be - for stdout")
    if options.call is not None:
        check_call(options.call)
        if options.all:
            raise UsageError("--all plays all calls; give either a call or --all")
    from listenctl.commands.monitor.run import run_monitor

    return run_async(run_monitor(options))


command = with_options(MonitorOptions, monitor)


def _list_devices(options: MonitorOptions) -> int:
    from dataclasses import asdict

    from listenctl.json_lines import VERSION, json_line
    from listenctl.media.devices.sound_devices import list_devices
    from listenctl.terminal.printable_text import lay_out
    from listenctl.terminal.standard_streams import write_line

    devices = list_devices()
    if options.json:
        write_line(sys.stdout, json_line({"v": VERSION, "devices": [asdict(device) for device in devices]}))
        return 0
    if not devices:
        write_line(sys.stdout, "no sound devices")
        return 0
    rows = [_DEVICE_HEADINGS, *map(_device_row, devices)]
    for line in lay_out(rows):
        write_line(sys.stdout, line)
    return 0


def _device_row(device: "SoundDevice") -> tuple[str, ...]:
    from listenctl.terminal.printable_text import printable

    default = [word for word, is_it in (("in", device.default_input), ("out", device.default_output)) if is_it]
    counts = (str(device.inputs or "-"), str(device.outputs or "-"))
    name, system = printable(device.name, 60), printable(device.system, 30)
    return (str(device.number), name, system, *counts, f"{device.sample_rate:g}", " ".join(default))
