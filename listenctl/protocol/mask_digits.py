"""Hide the digits in the texts of jambonz: what is stored or shown has ``MASKED_DIGIT`` for each."""

import re

from listenctl.protocol.dtmf_digits import MASKED_DIGIT
from listenctl.protocol.jambonz_messages import Dtmf, parse_texts

# A text may be cut within the digits.
_DIGITS = re.compile(rb'("(?:dtmf|digits?)"\s*:\s*)(?:"((?:[^"\\]|\\.)*)|[-+.\w]+)', re.DOTALL)
_ANY_DIGIT = re.compile(rb"[0-9A-Da-d*#]")


def mask_digits(text: bytes) -> bytes:
    """Return a text of jambonz with its digits masked, and all else as it was."""
    masked = _DIGITS.sub(_masked_field, text)
    # A name in JSON can be written with escapes; who does that hides something from us.
    if b"\\u" in text and any(isinstance(found, Dtmf) and found.digit != MASKED_DIGIT for found in parse_texts(masked)):
        return _ANY_DIGIT.sub(MASKED_DIGIT.encode(), text)
    return masked


def _masked_field(field: re.Match[bytes]) -> bytes:
    name, digits = field[1], field[2]
    return name + (b"null" if digits is None else b'"%b' % (MASKED_DIGIT.encode() * len(digits)))
