"""What the parent of workers and a worker say to each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from listenctl.call_listing import ListedCall
from listenctl.events import CallIdentity, EventFields
from listenctl.server.limits.server_limits import ServerLimits
from listenctl.server.operations.metric_families import MetricFamily


class Order(Enum):
    """What the parent tells a worker to do."""

    DRAIN = "drain"
    STOP = "stop"
    STOP_AFTER_CALLS = "stop after calls"
    LEAVE = "leave"  # end at once
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class WorkerStart:
    """The first message of the parent: all that a worker needs to begin."""

    number: int  # of the worker, from 0
    workers: int
    options: object  # those of the command
    listening: Sequence[int]  # descriptors of the listening sockets
    counts: int  # descriptor of the shared counts
    tools: int  # descriptor of the socket over which tools are handed over


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker accepts calls."""


@dataclass(frozen=True)  # With slots, it takes twice as long to send and to receive.
class WorkerEvent:
    """An event of a worker, at a Unix time, or None if it is counted only."""

    event: EventFields
    at: float | None
    about: CallIdentity


@dataclass(frozen=True)
class RecordingOpened:
    """The files of a call's recording are there."""

    call: str
    files: Sequence[str]
    sidecar: str


class Topic(Enum):
    """What one end asks the other for."""

    CALLS = "calls"  # of a worker
    METRICS = "metrics"  # of a worker, or of all if a worker asks


@dataclass(frozen=True, slots=True)
class LinkQuestion:
    number: int
    topic: Topic


@dataclass(frozen=True, slots=True)
class CallsAnswer:
    number: int
    calls: Sequence[ListedCall]


@dataclass(frozen=True, slots=True)
class MetricsAnswer:
    number: int
    metrics: Sequence[MetricFamily]


LinkMessage = (
    Order
    | ServerLimits
    | WorkerStart
    | WorkerReady
    | WorkerEvent
    | RecordingOpened
    | LinkQuestion
    | CallsAnswer
    | MetricsAnswer
)
"""The limits of the server are sent when they change."""
