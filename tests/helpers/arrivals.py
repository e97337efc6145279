"""Calls made up as lists of arrivals; each test says what happened to a call on its way."""

import random

FRAME_TIME = 0.02

Arrival = tuple[float, int]
Arrivals = list[Arrival]


def call(
    seconds: float,
    *,
    ptime: float = FRAME_TIME,
    jitter: float = 0.0,
    ppm: float = 0,
    start: float = 0.05,
) -> Arrivals:
    """Return a call of mono frames at 8 kHz; ``ppm`` is how much slower its clock is than ours."""
    chance = random.Random(1)
    arrivals, latest = [], 0.0
    for index in range(round(seconds / ptime)):
        latest = max(latest, start + (index + 1) * ptime * (1 + ppm * 1e-6) + chance.random() * jitter)
        arrivals.append((latest, round(16_000 * ptime)))
    return arrivals


def without(arrivals: Arrivals, start: float, seconds: float) -> Arrivals:
    """Leave out what would arrive from ``start`` on for ``seconds``."""
    return [arrival for arrival in arrivals if not start < arrival[0] <= start + seconds]


def held_up(arrivals: Arrivals, start: float, seconds: float) -> Arrivals:
    """Let what would arrive within ``seconds`` arrive at their end."""
    end = start + seconds
    return [(end if start < at <= end else at, size) for at, size in arrivals]


def overrun(*, kernel: float, stop: float, ptime: float = FRAME_TIME) -> Arrivals:
    """
    Return a call whose server stops reading, as jambonz sends it (V14).

    The kernel takes ``kernel`` seconds, jambonz queues 3 seconds and throws them away when that is full; what
    is queued then comes as one message, without its first 16 bytes.
    """
    arrivals: Arrivals = []
    in_kernel = queued = slip = 0
    start = 10.06
    end = start + stop
    for at, size in call(start + stop + 20, ptime=ptime):
        if at > end and queued:
            arrivals.append((end, queued - slip))
            queued = 0
        if not start < at <= end:
            arrivals.append((at, size))
        elif in_kernel + size <= kernel * 16_000:
            in_kernel += size
            arrivals.append((end, size))
        else:
            if queued + size > 48_000:
                queued, slip = 0, 16
            queued += size
    return arrivals
