"""Where in an application, which is an array of verbs, jambonz is told to listen (protocol.md 0, 2.4)."""

from dataclasses import dataclass

from listenctl.errors import UsageError
from listenctl.protocol.listen_verb.verb_options import VerbOptions

_NAMES = ("listen", "stream")


@dataclass(frozen=True, slots=True)
class FoundListen:
    """A listen's options, the verb that it is nested in (empty without one), and sentences on what was passed over."""

    options: VerbOptions
    within: str
    notes: tuple[str, ...]


def find_listen(document: object, where: str) -> FoundListen:
    """Return the first listen of an application or of a single verb; raise UsageError if none would start."""
    found: list[tuple[str, VerbOptions]] = []
    notes: list[str] = []
    for path, verb in _verbs(document):
        _search(VerbOptions.of(verb, path or "the verb", where), path, found, notes)
    if not found:
        raise UsageError("; ".join([f"{where}: has no listen or stream that would start", *notes]))
    if len(found) > 1:
        notes.append(f"only {found[0][1].path} is simulated, not " + ", ".join(each.path for _, each in found[1:]))
    return FoundListen(found[0][1], found[0][0], tuple(notes))


def _verbs(document: object) -> list[tuple[str, object]]:
    if isinstance(document, list):
        return [(f"[{index}]", verb) for index, verb in enumerate(document)]
    return [("", document)]


def _search(verb: VerbOptions, path: str, found: list[tuple[str, VerbOptions]], notes: list[str]) -> None:
    name, value = _named(verb)
    path = f"{path}.{name}".lstrip(".")
    match name:
        case "listen" | "stream":
            found.append(("", VerbOptions.of(value, path, verb.where)))
        case "dial":
            dial = VerbOptions.of(value, path, verb.where)
            found.extend(("dial", child) for each in _NAMES if (child := dial.child(each)))
        case "config":
            _search_config(VerbOptions.of(value, path, verb.where), found, notes)


def _search_config(config: VerbOptions, found: list[tuple[str, VerbOptions]], notes: list[str]) -> None:
    if "stream" in config.fields:
        notes.append(f"{config.path}.stream is never read by jambonz; call it listen")
    listen = config.child("listen")
    if not listen:
        return
    if listen.flag("enable"):
        found.append(("config", listen))
    else:
        notes.append(f'{listen.path} starts nothing without "enable": true')


def _named(verb: VerbOptions) -> tuple[str, object]:
    """Return a verb's name and options: ``{"verb": "say", …}``, or ``{"say": {…}}`` as jambonz takes it too."""
    if name := verb.text("verb"):
        return name, {key: value for key, value in verb.fields.items() if key != "verb"}
    if len(verb.fields) == 1 and "verb" not in verb.fields:
        return next(iter(verb.fields.items()))
    raise UsageError(f"{verb.where}: {verb.path} has no `verb`; jambonz rejects the application")
