import re
from pathlib import Path

from listenctl.protocol.jambonz_model.rule_catalogue import RULES, VERDICT_RULES

ROOT = Path(__file__).parents[3]


def test_the_man_page_explains_every_rule_in_its_section_with_its_severity() -> None:
    page = (ROOT / "man" / "listenctl-rules.5").read_text()
    _, *parts = re.split(r"^\.Ss (.+)$", page, flags=re.MULTILINE)
    explained = {
        (section, rule, severity)
        for section, text in zip(parts[::2], parts[1::2], strict=True)
        for rule, severity in re.findall(r"^\.It Cm ([\w-]+) Pq (\w+)\n\S", text, re.MULTILINE)
    }

    assert explained == {(rule.section, rule.id, str(rule.severity)) for rule in RULES.values()}


def test_every_rule_is_checked_somewhere() -> None:
    modules = [path for path in (ROOT / "listenctl").rglob("*.py") if path.name != "rule_catalogue.py"]
    source = "".join(path.read_text() for path in modules if "commands" not in path.parts)

    assert [rule for rule in RULES if f'"{rule}"' not in source and rule not in VERDICT_RULES.values()] == []
