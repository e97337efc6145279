"""Where the channels of calls are heard between left and right, and how loud."""

from collections.abc import Sequence
from enum import StrEnum
from math import cos, pi, sin, sqrt
from typing import TypeAlias

Gains: TypeAlias = tuple[tuple[float, float], ...]
"""For each channel of a call, how much of it goes to the left and to the right."""


class Ear(StrEnum):
    """The values of ``--channel``, and what is heard without one: the channels of a stereo call, one in each ear."""

    BOTH = "both"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"


_SHARES = {Ear.BOTH: (1.0, 1.0), Ear.LEFT: (1.0, 0.0), Ear.RIGHT: (0.0, 1.0), Ear.MIX: (1.0, 1.0)}


def alone(channels: int, ear: Ear) -> Gains:
    """Return the gains of a call that is heard alone; mono is heard in both ears."""
    if channels == 1:
        return ((1.0, 1.0),)
    if ear is Ear.BOTH:
        return ((1.0, 0.0), (0.0, 1.0))
    return tuple((share, share) for share in _SHARES[ear])


def side_by_side(channels: int, ear: Ear, place: int, of: int) -> Gains:
    """
    Return the gains of call number ``place``, from 0 on, of several that are heard from left to right.

    Each keeps its loudness wherever it stands; more than two are less loud, so that their sum seldom clips.
    """
    angle = place / (of - 1) * pi / 2
    level = min(1.0, sqrt(2 / of))
    left, right = level * cos(angle), level * sin(angle)
    return tuple((share * left, share * right) for share in ((1.0,) if channels == 1 else _SHARES[ear]))


def arrange(channels: Sequence[int], ear: Ear) -> list[Gains]:
    """Return the gains of all calls that are heard, for each of which ``channels`` says how many it has."""
    if len(channels) == 1:
        return [alone(channels[0], ear)]
    return [side_by_side(count, ear, place, len(channels)) for place, count in enumerate(channels)]
