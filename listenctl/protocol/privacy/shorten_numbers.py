"""
Shorten phone numbers in what is logged: all digits but the last become ``x``.

Numbers are known by the field that they are in, by a SIP or tel URI, or by the + before them. Other digits stay,
because those of ids, times and addresses are no phone numbers.
"""

import re
from urllib.parse import quote, unquote

_HIDDEN = "x"
_MAX_SHOWN = 4
# Names of fields of the metadata, of a verb's own ones, of SIP headers and of query parameters.
_FIELD = re.compile(
    "from|to|ani|cli|did|dnis|msisdn|tel|mobile|cell|p-asserted-identity|diversion|contact"
    "|.*(?:number|phone|call(?:er|ee|ed)).*",
    re.IGNORECASE,
)
# Or a host, which is left as it is.
_NUMBER = re.compile(r"@[^\s>;,\"]*|\d(?:[ ().\-/]{0,2}\d){2,}")
# In Base64, + and digits can follow anything; as a whole part of a path they are a number.
_PLUS_NUMBER = re.compile(r"(?<![\w+/=-])\+\d{7,15}(?!\w)|(?<=/)\+\d{7,15}(?=[/?#]|$)")
_URI_USER = re.compile(r"(?i)\b(?:sips?:[^@\s<>\"]{1,100}(?=@)|tel:[+\d().-]{1,40})")
_PARAMETER = re.compile(r"([?&;])([^?&;=]*)=([^?&;]*)")


def shorten_number(text: str) -> str:
    """Return the text of a party with the numbers in it shortened: of twelve digits, the last four stay."""
    return _NUMBER.sub(_shorten_match, text)


def shorten_numbers(value: object, name: str = "") -> object:
    """Return a JSON value, that of the field ``name``, with the phone numbers in it shortened."""
    is_number = bool(_FIELD.fullmatch(name))
    match value:
        case dict():
            return {key: shorten_numbers(inner, str(key)) for key, inner in value.items()}
        case list() | tuple():
            return [shorten_numbers(inner, name) for inner in value]
        case str() if is_number:
            return shorten_number(value)
        case str():
            return _shorten_in_text(value)
        case int() if is_number and not isinstance(value, bool) and len(str(value)) > _MAX_SHOWN:
            return shorten_number(str(value))
    return value


def _shorten_in_text(text: str) -> str:
    if "+" in text:
        text = _PLUS_NUMBER.sub(_shorten_match, text)
    if ":" in text:
        text = _URI_USER.sub(lambda uri: shorten_number(uri[0]), text)
    return _PARAMETER.sub(_shorten_parameter, text) if "=" in text else text


def _shorten_parameter(parameter: re.Match[str]) -> str:
    mark, name, value = parameter.groups()
    if not _FIELD.fullmatch(unquote(name)):
        return parameter[0]
    return f"{mark}{name}={quote(shorten_number(unquote(value)))}"


def _shorten_match(number: re.Match[str]) -> str:
    if number[0].startswith("@"):
        return number[0]
    digits = sum(map(str.isdigit, number[0]))
    hidden = digits - min(_MAX_SHOWN, digits // 3)
    return re.sub(r"\d", _HIDDEN, number[0], count=hidden)
