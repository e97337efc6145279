"""Run one harness under atheris: `python -m tests.fuzz.engine READER [libFuzzer's options] [CORPUS]`."""

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["listenctl"]):
    from tests.fuzz.readers import READERS

from tests.fuzz.mutations import MAX_INPUT, mutated
from tests.fuzz.reader import Reader

OWN_SHARE = 0.7
"""Share of inputs that our mutations change; libFuzzer changes the others."""


def main(name: str, options: list[str]) -> None:
    reader = READERS[name]
    with TemporaryDirectory() as corpus:
        for number, one in enumerate(reader.seeds()):
            (Path(corpus) / str(number)).write_bytes(one.data)
        limits = [f"-max_len={MAX_INPUT}", "-timeout=120", "-rss_limit_mb=2048", "-print_final_stats=1"]
        atheris.Setup([name, corpus, *limits, *options], reader.run, custom_mutator=_mutator(reader))
        atheris.Fuzz()


def _mutator(reader: Reader) -> Callable[[bytes, int, int], bytes]:
    seeds = reader.seeds()
    places = {one.data: one.places for one in seeds}

    def change(data: bytes, most: int, number: int) -> bytes:
        chance = Random(number)
        if not data or chance.random() > OWN_SHARE:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, places.get(bytes(data), ()), seeds, chance)[:most]

    return change


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
