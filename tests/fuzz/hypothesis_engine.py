"""Run one harness under Hypothesis for a while: `python -m tests.fuzz.hypothesis_engine READER SECONDS FOLDER`."""

import sys
import time
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutations import chances, damaged
from tests.fuzz.reader import Reader
from tests.fuzz.readers import READERS

ROUND = 500
"""Examples between two checks of the time."""


def main(name: str, seconds: str, folder: str, *, clock: Callable[[], float] = time.monotonic) -> int:
    reader, end = READERS[name], clock() + float(seconds)
    inputs = 0
    while clock() < end:
        found = _round(reader, inputs)
        inputs += ROUND
        if found is not None:
            path = Path(folder) / f"{name}-{sha1(found, usedforsecurity=False).hexdigest()[:12]}"
            path.write_bytes(found)
            _say(f"{name}: a fault after {inputs} inputs, by {path}")
            reader.run(found)
            return 1
    _say(f"{name}: {inputs} inputs in {seconds} s, no fault")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _round(reader: Reader, number: int) -> bytes | None:
    """Try a few inputs; return the simplest that reveals a fault."""
    last = b""

    @seed(number)
    @settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(chance=chances)
    def run(chance: Random) -> None:
        nonlocal last
        last = damaged(reader.seeds(), chance)
        reader.run(last)

    try:
        run()
    except Exception:  # noqa: BLE001 - whatever it is, it is a fault
        return last
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
