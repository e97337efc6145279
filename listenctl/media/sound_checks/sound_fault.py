"""A fault that a check found in the sound of a call."""

from dataclasses import dataclass

from listenctl.json_lines import JsonObject
from listenctl.protocol.jambonz_model.rule_catalogue import RULES, Severity

SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class SoundFault:
    rule: str
    sentence: str  # what was found, with the measurements that it is based on
    confidence: float  # 0 to 1
    channel: int | None = None  # counted from 1; None for all channels
    position: int | None = None  # samples per channel before the first occurrence; None if it occurs throughout

    @property
    def severity(self) -> Severity:
        return RULES[self.rule].severity

    def to_json(self) -> JsonObject:
        return {
            "id": self.rule,
            "severity": str(self.severity),
            "channel": self.channel,
            "position": self.position,
            "confidence": round(self.confidence, 2),
            "sentence": self.sentence,
        }
