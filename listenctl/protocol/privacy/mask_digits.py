"""Hide the digits in the texts of jambonz: what is stored or shown has ``MASKED_DIGIT`` for each."""

import re

from listenctl.protocol.dtmf_digits import DTMF_KEYS, MASKED_DIGIT
from listenctl.protocol.jambonz_messages import Dtmf, parse_texts

# A text may be cut within the digits.
_DIGITS = re.compile(rb'("(?:dtmf|digits?)"\s*:\s*)(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)|[-+.\w]+)', re.DOTALL)
_KEYS = (DTMF_KEYS + DTMF_KEYS.lower()).encode()
_HIDE_ALL = bytes.maketrans(_KEYS, MASKED_DIGIT.encode() * len(_KEYS))
MAX_MASKED_TEXT = 64 * 1024
"""Bytes of a text that is searched for digits. All of a longer one is hidden, in a thousandth of the time."""


def mask_digits(text: bytes) -> bytes:
    """Return a text of jambonz with its digits masked, and all else as it was if it is as short as jambonz's are."""
    if len(text) > MAX_MASKED_TEXT:
        return text.translate(_HIDE_ALL)
    masked = _DIGITS.sub(_masked_field, text)
    # A name in JSON can be written with escapes; who does that hides something from us.
    if b"\\u" in text and any(isinstance(found, Dtmf) and found.digit != MASKED_DIGIT for found in parse_texts(masked)):
        return text.translate(_HIDE_ALL)
    return masked


def _masked_field(field: re.Match[bytes]) -> bytes:
    name, digits = field[1], field[2]
    return name + (b"null" if digits is None else b'"%b' % (MASKED_DIGIT.encode() * len(digits)))
