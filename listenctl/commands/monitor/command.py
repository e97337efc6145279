"""``listenctl monitor``: listen to the live calls of a running server and watch their levels."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.live_calls.live_call_options import ServerNameOptions, check_call, socket_of
from listenctl.commands.shared_options import OUTPUT, option, run_async, with_options
from listenctl.errors import UsageError
from listenctl.media.devices.mixer import ChannelChoice

SOUND = "Sound"


@dataclass(frozen=True, kw_only=True)
class MonitorOptions(ServerNameOptions):
    """All options of ``monitor``."""

    call: Annotated[
        str | None,
        typer.Argument(help="Call: its id or callSid, a unique prefix, or @latest [default: all live calls]"),
    ] = None
    all: Annotated[bool, option("Play all calls at once, spread from left to right", "--all", panel=SOUND)] = False
    channel: Annotated[ChannelChoice, option("Channels of stereo calls to play", panel=SOUND)] = ChannelChoice.BOTH
    mute: Annotated[bool, option("Start muted", "--mute", panel=SOUND)] = False
    device: Annotated[
        str | None, option("Number or part of the name of the sound device [default: the system's]", panel=SOUND)
    ] = None
    list_devices: Annotated[bool, option("List the sound devices and exit", "--list-devices", panel=SOUND)] = False
    save: Annotated[
        str | None,
        option("Save the sound to a new WAV file; - writes raw samples to stdout", panel=OUTPUT, metavar="FILE"),
    ] = None
    json: Annotated[bool, option("With --list-devices, print one JSON object", "--json", panel=OUTPUT)] = False


def monitor(options: MonitorOptions) -> int:
    """
    Listen to live calls and watch their levels.

    On a terminal it shows a meter for each call, and keys switch between calls and channels.
    """
    if options.list_devices:
        return _list_devices(options)
    if options.json:
        raise UsageError("--json needs --list-devices; for the events of calls use `listenctl events --json`")
    if options.save == "-" and sys.stdout.isatty():
        raise UsageError("stdout is a terminal; pipe the sound, as in `listenctl monitor --save - | ...`")
    if options.save not in (None, "-") and not str(options.save).lower().endswith(".wav"):
        raise UsageError(f"--save {options.save}: the file must end in .wav, or be - for stdout")
    if options.call is not None:
        check_call(options.call)
        if options.all:
            raise UsageError("--all plays all calls; leave out the call or --all")
    return _run(options)


command = with_options(MonitorOptions, monitor)


def _list_devices(options: MonitorOptions) -> int:
    from listenctl.commands.monitor.device_table import print_devices
    from listenctl.media.devices.sound_devices import list_devices

    print_devices(list_devices(), sys.stdout, as_json=options.json)
    return 0


def _run(options: MonitorOptions) -> int:
    from listenctl.commands.monitor.monitor_session import MonitorPlan
    from listenctl.commands.monitor.monitor_sound import SoundPlan
    from listenctl.commands.monitor.run import run_monitor

    sound = SoundPlan(channels=options.channel, muted=options.mute, device=options.device, save=options.save)
    plan = MonitorPlan(socket=socket_of(options), call=options.call, every=options.all, sound=sound)
    return run_async(run_monitor(plan))
