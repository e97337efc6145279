"""
Recognise what is no raw audio: sound files by their first bytes, and text.

Samples that look like an opening are rare enough where four letters are compared. A frame header of MPEG audio is not:
only a chain of frames counts.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

OPENING_BYTES = 4608
"""How much of a stream decides in every case: three frames of MPEG audio, the longest of which has 1441 bytes."""
ID3_BYTES = 10
"""Length of the header of an ID3v2 tag."""
WAV_NAMES = ("WAV", "RF64", "BW64", "RIFX")

_OPENINGS: Mapping[bytes, str] = MappingProxyType(
    {
        b"RF64": "RF64",
        b"BW64": "BW64",
        b"riff\x2e\x91\xcf\x11": "W64",
        b".snd": "AU",
        b"dns.": "AU",
        b"caff": "CAF",
        b"fLaC": "FLAC",
        b"OggS": "Ogg",
        b"\x1aE\xdf\xa3": "WebM",
        b"#!AMR": "AMR",
        b"#!SILK": "SILK",
        b"\x02#!SILK": "SILK",
        b"wvpk": "WavPack",
        b"MAC ": "Monkey's Audio",
        b"Creative Voice File": "VOC",
        b"NIST_1A": "NIST SPHERE",
        b"2BIT": "AVR",
        b" paf": "PAF",
        b"fap ": "PAF",
        b".SoX": "SoX",
        b"XoS.": "SoX",
        b"MThd": "MIDI",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "WMA",
        b"PK\x03\x04": "ZIP",
        b"\x1f\x8b\x08": "gzip",
        b"listenctl-encrypted ": "an encrypted recording for `listenctl decrypt`",
    }
)
_HEAD_BYTES = len(b"RIFF....WAVE")
_LONG_HEADS = (b"RIFF", b"RIFX", b"FORM", b"ID3", *(bytes((0, 0, 0, size)) for size in range(0x14, 0x2C, 4)))
_FORMS: Mapping[bytes, str] = MappingProxyType({b"AIFF": "AIFF", b"AIFC": "AIFC", b"8SVX": "8SVX", b"16SV": "8SVX"})
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*+")
_DATA_URL = re.compile(rb"data:[\w.+/-]{1,80}[;,]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\r\n-]*+=*[\r\n]*")
# Fewer bytes can be samples by chance; a JSON object of that length can't.
_MIN_TEXT, _MIN_JSON = 64, 8
# An encoded silence repeats a few bytes, some of which are letters: A-law 0x55 is U.
_MIN_LETTERS = 8
_TEXT_BYTES = 512

_ID3 = b"ID3"
_ID3_FOOTER = 0x10
_CHAIN = 3
_BITRATES: Mapping[tuple[bool, int], tuple[int, ...]] = MappingProxyType(
    {
        (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
        (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
        (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    }
)
_RATES = (44100, 48000, 32000)
_ADTS_RATES = 13


def sound_container(opening: bytes) -> str | None:
    """Return the name of the container that ``opening`` begins, None for anything else; it has ``OPENING_BYTES``."""
    if opening[:3] == _ID3:
        return sound_container(opening[id3_bytes(opening) :]) or "MP3"
    if opening[:4] in (b"RIFF", b"RIFX"):
        return _riff_name(opening)
    if opening[:4] == b"FORM":
        return _FORMS.get(opening[8:12])
    if opening[4:8] == b"ftyp":
        return "MP4"
    for start, name in _OPENINGS.items():
        if opening.startswith(start):
            return name
    return _framed_name(opening)


class AudioOpening:
    """Find out whether audio that comes in pieces begins as a sound file or a text."""

    def __init__(self) -> None:
        self._data: bytes | None = b""  # None when it is known what begins here

    def add_audio(self, data: bytes, *, ended: bool = False) -> str | None:
        """Return what was found, once; ``ended`` if nothing follows."""
        if self._data is None:
            return None
        self._data += data[:OPENING_BYTES]
        if not ended and is_undecided(self._data):
            return None
        opening, self._data = self._data, None
        return sound_container(opening) or text_kind(opening)


def is_undecided(opening: bytes) -> bool:
    """Return whether more bytes than ``opening`` are needed to know what begins here."""
    if len(opening) >= OPENING_BYTES or opening.startswith(tuple(_OPENINGS)):
        return False
    if len(opening) < _HEAD_BYTES and opening.startswith(_LONG_HEADS):
        return True
    if any(start.startswith(opening) for start in (*_OPENINGS, *_LONG_HEADS)):
        return True
    return _frame_bytes(opening) > 0 or (len(opening) < _TEXT_BYTES and _is_text(opening))


def id3_bytes(data: bytes) -> int:
    """Return the length of the ID3v2 tag that ``data`` begins with, 0 without one (id3v2.4.0-structure 3.1)."""
    if data[:3] != _ID3 or len(data) < ID3_BYTES or max(data[6:10]) > 0x7F:
        return 0
    size = sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    return ID3_BYTES + size + (ID3_BYTES if data[5] & _ID3_FOOTER else 0)


def text_kind(data: bytes, *, whole: bool = False) -> str | None:
    """Return what kind of text ``data`` is, such as JSON or Base64; None if it isn't text, or may be by chance."""
    head = data[:_TEXT_BYTES]
    if not head or (len(head) < _MIN_JSON and not whole) or not _is_text(head):
        return None
    begin = head.lstrip()
    if begin[:1] in (b"{", b"[") and (b'"' in begin or len(head) >= _MIN_TEXT):
        return "JSON"
    # A whole stream of so few samples is no sound, but the message of a program that failed.
    if not whole and (len(head) < _MIN_TEXT or len(set(head)) < _MIN_LETTERS):
        return None
    if begin[:1] == b"<":
        return "HTML or XML"
    is_base64 = _DATA_URL.match(begin) or (len(head) >= _MIN_TEXT and _BASE64.fullmatch(head))
    return "Base64" if is_base64 else "text"


def _riff_name(opening: bytes) -> str | None:
    # A stream that ends before is a WAV that is cut.
    if b"WAVE".startswith(opening[8:12]):
        return "RIFX" if opening[3:4] == b"X" else "WAV"
    return "AVI" if opening[8:12] == b"AVI " else None


def _is_text(data: bytes) -> bool:
    return _TEXT.fullmatch(data) is not None


def _framed_name(data: bytes) -> str | None:
    """Return the name of audio that consists of frames; two are enough if the data ends with them."""
    kind, at = _frame_kind(data), 0
    if not kind:
        return None
    for number in range(_CHAIN):
        if number > 1 and at >= len(data):
            break
        if _frame_kind(data[at : at + 8]) != kind:
            return None
        at += _frame_bytes(data[at : at + 8])
    return kind[0]


def _frame_kind(head: bytes) -> tuple[str, int, int] | None:
    """Return the name of a frame and what all frames of a stream share."""
    if not _frame_bytes(head):
        return None
    if head[1] & 0xF6 == 0xF0:
        return "AAC", head[1], head[2] & 0x3C
    return ("MP3" if head[1] >> 1 & 3 == 1 else "MP2"), head[1] & 0x1E, head[2] & 0x0C


def _frame_bytes(head: bytes) -> int:
    """Return the length of the frame that begins here, by its header; 0 if there is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    if head[1] & 0xF6 == 0xF0:
        return _adts_bytes(head)
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer not in (2, 3) or bitrate in (0, 15) or rate == 3:
        return 0
    first = version == 3
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if first or layer == 2 else 576
    return samples // 8 * _BITRATES[first, layer][bitrate - 1] * 1000 // hertz + padding


def _adts_bytes(head: bytes) -> int:
    if len(head) < 7 or head[2] >> 2 & 15 >= _ADTS_RATES:
        return 0
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if size > 7 else 0
