"""Which rule each verdict of the playout stands for; those that are missing are as they should be."""

from collections.abc import Mapping
from types import MappingProxyType

VERDICT_RULES: Mapping[str, str] = MappingProxyType(
    {
        "no-json": "command-no-json",
        "no-type": "command-no-type",
        "unknown-type": "command-unknown",
        "no-effect": "command-no-effect",
        "no-data": "clip-no-data",
        "no-name": "mark-no-name",
        "ends-verb-only": "command-error",
        "streaming": "clip-while-streaming",
        "not-streaming": "stream-not-played",
        "unsupported": "stream-not-played",
        "tail-held": "stream-tail-held",
        "call-ended": "stream-cut-off",
        "too-many-marks": "marks-too-many",
        "name-not-escaped": "mark-name-unsafe",
        "sample-value": "mark-early",
        "shifted": "mark-shifted",
        "resampled": "mark-resampled",
        "no-content-type": "clip-no-content-type",
        "content-type": "clip-content-type",
        "no-content": "clip-no-content",
        "no-audio": "clip-no-audio",
        "wav-unreadable": "clip-wav-unreadable",
        "wav-as-raw": "clip-wav-as-raw",
        "base64-ends": "clip-base64-cut",
        "rate-missing": "clip-rate-missing",
        "rate-no-number": "clip-rate-string",
        "rate-unknown": "clip-rate-unknown",
        "rate-unreadable": "clip-rate-unreadable",
        "rate-is-noise": "clip-rate-noise",
        "id-mangled": "clip-id-unsafe",
        "on-top": "clip-on-top",
        "queue-emptied": "clip-dropped",
        "queue-full": "clip-queue-full",
    }
)

OTHERS = frozenset(
    {"forgotten", "killed", "ended", "nothing-playing", "too-soon", "unanswered", "fragments-too-long", "disabled"}
)
"""Reasons without a rule: what was asked for, what is found by other means, and what can't be known from outside."""
