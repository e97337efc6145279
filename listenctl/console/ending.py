"""How a simulated call ended, in words: who ended it, why, and what was wrong with the end."""

from typing import Any

from listenctl.console.text import printable

_MAX_TEXT = 200
_CAUSES = {
    "audio-failed": "the caller's audio failed",
    "audio-over": "the caller's audio was over",
    "duration": "--duration was over",
    "max-length": "maxLength was over",
    "silence-timeout": "the caller was silent for the verb's timeout",
    "finish-on-key": "the key of finishOnKey was pressed",
    "disconnect": "the server sent disconnect",
    "hung-up": "we were told to",
}
# The status is 1 then; a sentence of the connection says more, where there is one.
_NOT_IN_ORDER = "not an orderly end"


def describe_end(ended: dict[str, Any]) -> str:
    """Return what a ``call-ended`` event says of the end."""
    who = _who(ended)
    detail = printable(str(ended["detail"] or ""), _MAX_TEXT)
    if detail and ended["close_code"] is None:
        # It says all of it: the connection broke, the server left without a Close.
        return f"{who}; {detail}" if ended["closed_by"] == "jambonz" else detail
    wrong = detail or ("" if ended["taken"] or ended["closed_by"] == "nobody" else _NOT_IN_ORDER)
    return f"{who}; {wrong}" if wrong else who


def _who(ended: dict[str, Any]) -> str:
    match ended["closed_by"]:
        case "nobody":
            return "the connection broke"
        case "server":
            return f"closed by the server{_code(ended)}"
    why = _CAUSES.get(ended["cause"], "")
    return f"we hung up{_code(ended)}{f': {why}' if why else ''}"


def _code(ended: dict[str, Any]) -> str:
    if ended["close_code"] is None:
        return ""
    reason = f" {printable(ended['close_reason'], _MAX_TEXT)!r}" if ended["close_reason"] else ""
    return f" ({ended['close_code']}{reason})"
