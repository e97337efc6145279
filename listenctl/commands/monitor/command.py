"""``listenctl monitor``: hear and see the live calls of a running server."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.live_calls.recipient_options import ServerNameOptions, check_call, socket_of
from listenctl.commands.option_choices import Ear
from listenctl.commands.shared_options import OUTPUT, option, with_options
from listenctl.errors import UsageError

SOUND = "Sound"

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class MonitorOptions(ServerNameOptions):
    """All options of ``monitor``."""

    call: Annotated[
        str | None,
        typer.Argument(help="The call: its id or callSid, a unique prefix, or @latest. Default: all live calls."),
    ] = None
    all: Annotated[
        bool, option("Hear all calls at once, from left to right, not one of them.", "--all", panel=SOUND)
    ] = False
    channel: Annotated[Ear, option("What is heard of stereo calls.", panel=SOUND)] = Ear.BOTH
    mute: Annotated[bool, option("Begin without sound.", "--mute", panel=SOUND)] = False
    device: Annotated[
        str | None, option("Number or part of the name of the sound device. Default: the system's.", panel=SOUND)
    ] = None
    list_devices: Annotated[bool, option("List the sound devices and exit.", "--list-devices", panel=SOUND)] = False
    save: Annotated[
        str | None,
        option("Keep what is heard in a new WAV file; - writes raw samples to stdout.", panel=OUTPUT, metavar="FILE"),
    ] = None
    json: Annotated[bool, option("With --list-devices, print one JSON object.", "--json", panel=OUTPUT)] = False


def monitor(options: MonitorOptions) -> int:
    """
    Hear and see the live calls of a running server.

    On a terminal it draws the level of each call, and keys switch between calls and channels.
    """
    if options.list_devices:
        return _list_devices(options)
    if options.json:
        raise UsageError("--json goes with --list-devices; for the events of calls there is `listenctl events --json`")
    if options.save == "-" and sys.stdout.isatty():
        raise UsageError("sound is nothing for a terminal; pipe it, as in `listenctl monitor --save - | ...`")
    if options.save not in (None, "-") and not str(options.save).lower().endswith(".wav"):
        raise UsageError(f"--save {options.save}: sound is kept as WAV; name a file that ends in .wav, or -")
    if options.call is not None:
        check_call(options.call)
        if options.all:
            raise UsageError("--all hears all calls; leave out the call or the option")
    return _run(options)


app.command()(with_options(MonitorOptions, monitor))


def _list_devices(options: MonitorOptions) -> int:
    from listenctl.commands.monitor.device_table import print_devices
    from listenctl.media.devices.sound_devices import list_devices

    print_devices(list_devices(), sys.stdout, as_json=options.json)
    return 0


def _run(options: MonitorOptions) -> int:
    from listenctl.commands.monitor.monitor_session import MonitorPlan
    from listenctl.commands.monitor.monitor_sound import SoundPlan
    from listenctl.commands.monitor.run import run_monitor
    from listenctl.media.devices.mixer import ChannelChoice as Heard

    ear = Heard(options.channel.value)
    sound = SoundPlan(ear=ear, muted=options.mute, device=options.device, save=options.save)
    plan = MonitorPlan(socket=socket_of(options), call=options.call, every=options.all, sound=sound)
    return asyncio.run(run_monitor(plan))
