"""Run each harness briefly; `tests/fuzz/run` runs them longer."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.mutations import chances, damaged
from tests.fuzz.readers import READERS

EXAMPLES = 60
names = pytest.mark.parametrize("name", READERS)


@names
def test_undamaged_inputs_hold_what_every_input_has_to(name: str) -> None:
    for seed in READERS[name].seeds():
        READERS[name].run(seed.data)


@names
@settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
@given(chance=chances)
def test_damage_costs_nothing_that_can_be_read(name: str, chance: Random) -> None:
    READERS[name].run(damaged(READERS[name].seeds(), chance))
