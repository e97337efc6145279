"""
What FreeSWITCH makes of text that reaches it as an argument of a command (protocol.md 2.6).

The argument stands in apostrophes between ``|``, and is un-escaped once whatever it is; JSON keeps neither its
apostrophes nor one level of its escapes.
"""

import re

_TOKEN = re.compile(r"\\.|[^\\'|]+|.", re.DOTALL)
_UNESCAPED = {
    r"\"": '"',
    r"\'": "'",
    r"\\": "\\",
    r"\|": "|",
    r"\n": "\n",
    r"\r": "\r",
    r"\t": "\t",
    r"\s": " ",
}


def pass_argument(text: str) -> str:
    """Return what arrives of ``text``: the first argument that FreeSWITCH's splitter finds, cleaned up."""
    command = f"'{text}'|"
    last_apostrophe = command.rindex("'")
    quoted = False
    arrived: list[str] = []
    # Blanks at the end go, unless they were quoted or escaped.
    kept = 0
    for token in _TOKEN.finditer(command):
        piece = token[0]
        # An apostrophe without another one behind it is an ordinary character.
        if piece == "'" and (quoted or token.start() < last_apostrophe):
            quoted = not quoted
        elif piece == "|" and not quoted:
            break
        else:
            arrived.append(_UNESCAPED.get(piece, piece))
        if quoted or piece in _UNESCAPED:
            kept = len(arrived)
    return "".join(arrived[:kept]) + "".join(arrived[kept:]).rstrip(" ")
