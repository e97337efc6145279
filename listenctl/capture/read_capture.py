"""Read listen calls from any file, detected from its content: packet captures, dumps, HAR files, recordings."""

import os
import re
from collections.abc import Iterator
from itertools import chain, count

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.compressed_files import OpenedCapture, open_capture_file
from listenctl.capture.packets.packet_batches import PacketFileItem
from listenctl.capture.packets.read_pcap import MAGICS, read_pcap
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.websocket_sessions import read_websocket_sessions
from listenctl.errors import UsageError

SUPPORTED = "pcap, pcapng, a dump, HAR, or a recording with its sidecar"

_PCAPNG = b"\x0a\x0d\x0d\x0a"
_BOM = b"\xef\xbb\xbf"
_UTF_16 = re.compile(rb"\xff\xfe[^\0]\0|\xfe\xff\0[^\0]|\0[{\s][\0]|[{\s]\0[^\0]\0")
_DUMP = re.compile(rb'\s*\{\s*"(?:listenctl_dump"|at"\s*:\s*[0-9.]+\s*,\s*"(?:from|lost|end)")')
_HAR = re.compile(rb'\s*\{\s*"log"\s*:')
_JSON = re.compile(rb"\s*\{")
_SOUND = re.compile(rb"RIFF|RF64|FORM|fLaC|OggS|ID3|\xff[\xf2\xf3\xfb]")
_OTHERS = (
    (_SOUND, "sound without the sidecar of a recording"),
    (rb"\s*[{\[]", "unsupported JSON"),
    (rb"\s*<", "XML or HTML"),
    (rb"PK\x03\x04|7z\xbc\xaf|BZh|\xfd7zXZ|\x04\x22\x4d\x18", "an archive, or has an unsupported compression"),
    (rb"snoop\x00|RTSS|XCP\x00|#BASH|Received |GMBU", "a capture in an unsupported format; convert it with editcap"),
    (rb"\x7fELF|#!", "a program"),
    (rb"(?:CLIENT|SERVER|EXPORTER|EARLY)_|# SSL|RSA ", "a key log of TLS secrets"),
    (
        rb"listenctl-encrypted |age-encryption\.org/",
        "encrypted; `listenctl decrypt` gives the recording and its sidecar",
    ),
    (rb"[\t\n\r -~]*\Z", "text"),
)


def read_capture(
    path: str,
    *,
    keylog: KeyLog | None = None,
    numbers: Iterator[int] | None = None,
    join_audio: bool = False,
    recordings: set[str] | None = None,
) -> Iterator[CaptureEvent]:
    """
    Yield the events of the sessions in a file, ``-`` for stdin, numbered by ``numbers``; ``keylog`` adds TLS secrets,
    ``join_audio`` joins consecutive audio. A recording whose sidecar is among ``recordings`` was read by another of
    its files and is skipped. Raises UsageError at once if the file can't be read or is not supported.
    """
    keylog = KeyLog() if keylog is None else keylog
    numbers = count(1) if numbers is None else numbers
    file = open_capture_file(path)
    start = _utf8(file.start)
    if is_packet_capture(start):
        return chain.from_iterable(
            read_websocket_sessions(read_packets(file), path, keylog, numbers, join_audio=join_audio)
        )
    # Imported for a file of its kind only: each of these readers adds to the start-up.
    if _DUMP.match(start):
        from listenctl.capture.formats.dump_sessions import read_dump_sessions

        return read_dump_sessions(file, numbers, join_audio=join_audio)
    if _HAR.match(start):
        from listenctl.capture.formats.read_har import read_har

        return read_har(file, numbers)
    return _read_recording(path, file, start, numbers, set() if recordings is None else recordings)


def _utf8(start: bytes) -> bytes:
    """Return the start of a text in UTF-8, without a byte order mark; any other start as it is."""
    if _UTF_16.match(start):
        from listenctl.capture.formats.read_har import decode_har

        return decode_har(start).encode(errors="replace")
    return start.removeprefix(_BOM)


def _read_recording(
    path: str, file: OpenedCapture, start: bytes, numbers: Iterator[int], recordings: set[str]
) -> Iterator[CaptureEvent]:
    """Read a recording by its sidecar or by its audio, or raise the UsageError."""
    from listenctl.capture.formats.read_recording import find_sidecar, read_recording, read_sidecar

    name, sidecar = path, read_sidecar(file) if _JSON.match(start) else None
    if _SOUND.match(start) and (beside := find_sidecar(path)):
        name = str(beside)
        sidecar = read_sidecar(open_capture_file(name))
    if sidecar is None:
        raise UsageError(f"{path}: is {_describe(start)}; name a capture: {SUPPORTED}")
    if (known := os.path.realpath(name)) in recordings:
        return iter(())
    recordings.add(known)
    return read_recording(name, sidecar, numbers)


def is_packet_capture(start: bytes) -> bool:
    return start[:4] in MAGICS or start.startswith(_PCAPNG)


def read_packets(file: OpenedCapture) -> Iterator[PacketFileItem]:
    """Yield the contents of a packet capture, then the notices about its compression."""
    if file.start[:4] in MAGICS:
        yield from read_pcap(file.chunks)
    else:
        from listenctl.capture.packets.read_pcapng import read_pcapng

        yield from read_pcapng(file.chunks)
    yield from file.notices


def _describe(start: bytes) -> str:
    if not start:
        return "empty"
    return next((kind for pattern, kind in _OTHERS if re.match(pattern, start)), "of an unknown type")
