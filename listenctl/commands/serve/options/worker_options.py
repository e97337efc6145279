"""The option of a server with several processes."""

from dataclasses import dataclass
from typing import Annotated

from listenctl.commands.shared_options import GivenOptions, option

MAX_WORKERS = 64


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(GivenOptions):
    """How many processes a server has."""

    workers: Annotated[
        int,
        option(
            "Processes that serve the port together, such as one for each core",
            panel="Running as a service",
            min=1,
            max=MAX_WORKERS,
        ),
    ] = 1
