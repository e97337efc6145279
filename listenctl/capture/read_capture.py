"""
Read whatever holds listen calls, told by its content: captures of packets, dumps, HAR files, recordings.

For everything else it is said what the file is instead.
"""

import re
from collections.abc import Iterator
from itertools import chain, count

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.compressed_files import CaptureFile, open_capture_file
from listenctl.capture.formats.dump_sessions import read_dump_sessions
from listenctl.capture.formats.read_har import read_har
from listenctl.capture.formats.read_recording import parse_sidecar, read_recording, sidecar_of
from listenctl.capture.packets.packet_batches import CaptureNotice, EmbeddedSecrets, PacketBatch
from listenctl.capture.packets.read_pcap import MAGICS, read_pcap
from listenctl.capture.packets.read_pcapng import read_pcapng
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.websocket_sessions import read_websocket_sessions
from listenctl.errors import UsageError

READ = "pcap, pcapng, a dump, HAR, or a recording with its sidecar"

_PCAPNG = b"\x0a\x0d\x0d\x0a"
_BOM = b"\xef\xbb\xbf"
_DUMP = re.compile(rb'\s*\{\s*"(?:listenctl_dump"|at"\s*:\s*[0-9.]+\s*,\s*"(?:from|lost|end)")')
_HAR = re.compile(rb'\s*\{\s*"log"\s*:')
_JSON = re.compile(rb"\s*\{")
_SOUND = re.compile(rb"RIFF|RF64|FORM|fLaC|OggS|ID3|\xff[\xf2\xf3\xfb]")
_OTHERS = (
    (_SOUND, "sound without the sidecar of a recording"),
    (rb"\s*[{\[]", "JSON of another kind"),
    (rb"\s*<", "XML or HTML"),
    (rb"PK\x03\x04|7z\xbc\xaf|BZh|\xfd7zXZ|\x04\x22\x4d\x18", "an archive or compressed in a way that isn't supported"),
    (
        rb"snoop\x00|RTSS|XCP\x00|#BASH|Received |GMBU",
        "a capture in a format that isn't supported; convert it by editcap",
    ),
    (rb"\x7fELF|#!", "a program"),
    (rb"(?:CLIENT|SERVER|EXPORTER|EARLY)_|# SSL|RSA ", "a key log of TLS secrets"),
    (rb"[\t\n\r -~]*\Z", "text"),
)


def read_capture(
    path: str, *, keylog: KeyLog | None = None, numbers: Iterator[int] | None = None, runs: bool = False
) -> Iterator[CaptureEvent]:
    """
    Yield the sessions that a file holds, as it is read.

    Args:
        path: the file, ``-`` for stdin; gz and zst are decompressed.
        keylog: secrets for sessions under TLS; those that the capture brings are added to it.
        numbers: of the sessions, to go on with over several files; from 1 without it.
        runs: audio may come in runs, one session after another, which is a third faster.

    Raises:
        UsageError: the file can't be read, or is nothing of these; at once, not only while it is read.
    """
    keylog = KeyLog() if keylog is None else keylog
    numbers = count(1) if numbers is None else numbers
    file = open_capture_file(path)
    start = file.start.removeprefix(_BOM)
    if is_capture(start):
        return chain.from_iterable(read_websocket_sessions(read_packets(file), path, keylog, numbers, runs=runs))
    if _DUMP.match(start):
        return read_dump_sessions(file, numbers)
    if _HAR.match(start):
        return read_har(file, numbers)
    if _JSON.match(start) and (sidecar := parse_sidecar(file)):
        return read_recording(path, sidecar, numbers)
    if (
        _SOUND.match(start)
        and (beside := sidecar_of(path))
        and (sidecar := parse_sidecar(open_capture_file(str(beside))))
    ):
        return read_recording(str(beside), sidecar, numbers)
    raise UsageError(f"{path}: is {_kind(start)}; name a capture: {READ}")


def is_capture(start: bytes) -> bool:
    """Tell whether a file that begins so holds packets."""
    return start[:4] in MAGICS or start.startswith(_PCAPNG)


def read_packets(file: CaptureFile) -> Iterator[PacketBatch | CaptureNotice | EmbeddedSecrets]:
    """Yield what a capture of packets holds, then what was wrong with its compression."""
    yield from (read_pcap if file.start[:4] in MAGICS else read_pcapng)(file.chunks)
    yield from file.notices


def _kind(start: bytes) -> str:
    if not start:
        return "empty"
    return next((kind for pattern, kind in _OTHERS if re.match(pattern, start)), "nothing that is known")
