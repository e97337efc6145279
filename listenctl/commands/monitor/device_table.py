"""The sound devices of this machine, as a table or as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from listenctl.json_lines import VERSION, json_line
from listenctl.media.devices.sound_devices import SoundDevice
from listenctl.terminal.printable_text import cell_width, pad_cells, printable
from listenctl.terminal.standard_streams import write_line

_HEADINGS = ("NUMBER", "NAME", "SYSTEM", "IN", "OUT", "RATE", "DEFAULT")


def print_devices(devices: Sequence[SoundDevice], stream: TextIO, *, as_json: bool) -> None:
    """Print all devices: one JSON object, or a line for each."""
    if as_json:
        write_line(stream, json_line({"v": VERSION, "devices": [asdict(device) for device in devices]}))
        return
    if not devices:
        write_line(stream, "no sound devices")
        return
    rows = [_HEADINGS, *map(_row, devices)]
    widths = [max(map(cell_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        write_line(stream, "  ".join(map(pad_cells, row, widths)).rstrip())


def _row(device: SoundDevice) -> tuple[str, ...]:
    default = [word for word, is_it in (("in", device.default_input), ("out", device.default_output)) if is_it]
    counts = (str(device.inputs or "-"), str(device.outputs or "-"))
    name, system = printable(device.name, 60), printable(device.system, 30)
    return (str(device.number), name, system, *counts, f"{device.sample_rate:g}", " ".join(default))
