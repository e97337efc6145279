"""A user name and its password, as ``wsAuth`` and an action hook have them; printing one shows no password."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """What Basic authentication sends."""

    username: str
    password: str = field(repr=False)
