"""The man pages name every rule and every field, and no others."""

import csv
import re
from io import StringIO
from pathlib import Path

from listenctl.inspection.message_checks.playout_checks import VERDICT_RULES, VERDICTS_WITHOUT_RULE
from listenctl.inspection.rule_catalogue import RULES
from tests.helpers.inspected import capture_events, inspect
from tests.helpers.reasons import all_reasons

MAN = Path(__file__).parents[2] / "man"
PACKAGE = Path(__file__).parents[2] / "listenctl"


def sections(page: str) -> dict[str, str]:
    """Return the subsections of a page by their headings."""
    parts = re.split(r"^\.S[sh] (.+)$", (MAN / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_rule_is_explained_in_its_section_with_its_severity_and_no_other_is() -> None:
    explained = {
        (section, rule, severity)
        for section, text in sections("listenctl-rules.5").items()
        for rule, severity in re.findall(r"^\.It Cm ([\w-]+) Pq (\w+)\n\S", text, re.MULTILINE)
    }

    rules = {(rule.section, rule.id, str(rule.severity)) for rule in RULES.values()}
    assert explained == rules


def test_every_rule_is_checked_somewhere() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "rule_catalogue.py"]
    source = "".join(path.read_text() for path in modules if path.parts[-2] != "commands")

    assert [rule for rule in RULES if f'"{rule}"' not in source] == []


def test_every_verdict_has_a_rule_or_needs_none() -> None:
    assert set(VERDICT_RULES) | VERDICTS_WITHOUT_RULE == all_reasons() - {""}
    assert not set(VERDICT_RULES) & VERDICTS_WITHOUT_RULE
    assert set(VERDICT_RULES.values()) <= set(RULES)


def test_every_field_of_a_report_is_explained() -> None:
    text = (MAN / "listenctl-inspect.5").read_text()
    words = set(re.findall(r"[\w~-]+", " ".join(re.findall(r"^(?:\.It )?\.?Cm .*$", text, re.MULTILINE))))
    words |= set(re.findall(r"\w+", " ".join(re.findall(r"^\.It Cm .*$|^\.Cm .*$", text, re.MULTILINE))))

    for name in ("c2_bidir_stream8k_marks_nominus1", "e_playaudio_featureserver"):
        (report,) = inspect(capture_events(name))
        described = report.to_json()
        fields = set(described)
        for part in ("audio", "handshake", "playout", "stream", "close", "arrival_ms"):
            value = described[part]
            fields |= set(value) if isinstance(value, dict) else set()
        for part in ("marks", "clips", "dtmf", "violations"):
            value = described[part]
            assert isinstance(value, list)
            fields |= {name for item in value for name in item}
        assert fields - words == set()


def test_every_column_of_the_table_is_explained_in_order() -> None:
    text = sections("listenctl-inspect.5")["The table"]
    (report,) = inspect(capture_events("a_mono8k_sip"))

    explained = [name for line in re.findall(r"^\.It Cm (.*)$", text, re.MULTILINE) for name in line.split(" , ")]

    assert list(report.table_row()) == explained


def test_a_row_can_be_written_as_csv() -> None:
    (report,) = inspect(capture_events("e_playaudio_featureserver"))
    row = report.table_row()
    file = StringIO()
    writer = csv.DictWriter(file, row)
    writer.writeheader()
    writer.writerow(row)

    (read,) = csv.DictReader(StringIO(file.getvalue()))

    assert (read["dtmf"], read["clips"], read["close_code"], read["audio_seconds"]) == ("5", "6", "1000", "12.22")
