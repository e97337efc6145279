"""Run each harness briefly; `tests/fuzz/run` runs them longer."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.fuzz.readers import READERS

EXAMPLES = 60
names = pytest.mark.parametrize("name", READERS)


@names
def test_undamaged_inputs_hold_what_every_input_has_to(name: str) -> None:
    for seed in READERS[name].seeds():
        READERS[name].run(seed.data)


@names
@settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
# Hypothesis can simplify the first kind of chance; the second is distributed more evenly.
@given(chance=st.randoms(use_true_random=False) | st.integers(0, 2**64).map(Random))
def test_damage_costs_nothing_that_can_be_read(name: str, chance: Random) -> None:
    seeds = READERS[name].seeds()
    seed = chance.choice(seeds)

    READERS[name].run(mutated(seed.data, seed.places, seeds, chance))
