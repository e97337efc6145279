"""
Samples of value -1, which the media server takes for a mark (protocol.md 6.4, fault 1).

FreeSWITCH itself writes them for silence, so they are common in recordings of calls.
"""

_MARKER = b"\xff\xff"
_NEIGHBOUR = b"\xfe\xff"


def move_markers(pcm: bytes) -> bytes:
    """Return whole little-endian 16-bit samples with -2 in the place of -1; nobody hears the difference."""
    at = pcm.find(_MARKER)
    if at < 0:
        return pcm
    moved = bytearray(pcm)
    while at >= 0:
        # Two such bytes may also be halves of two samples.
        if at % 2 == 0:
            moved[at : at + 2] = _NEIGHBOUR
        at = pcm.find(_MARKER, at + 2 - at % 2)
    return bytes(moved)
