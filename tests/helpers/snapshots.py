"""A simulated call in which nothing happens."""

from listenctl.simulator.call_snapshot import CallSnapshot

QUIET = CallSnapshot(
    url="ws://h/",
    call="7f1c",
    state="live",
    elapsed=1.0,
    sample_rate=8000,
    mix_type="mono",
    profile="current",
    streaming=False,
    sent=None,
    heard=None,
    buffered=0.0,
    held=0.0,
    marks=(),
    unsent=0.0,
    lost_samples=0,
    lateness=0.0,
    commands=0,
    wrong=0,
    digits="",
)
