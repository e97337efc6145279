import pytest

from listenctl.protocol.jambonz_model.first_text import pass_argument


@pytest.mark.parametrize(
    ("text", "arrives"),
    [
        ('{"a":"plain"}', '{"a":"plain"}'),
        ('{"a":"Zoë 日本"}', '{"a":"Zoë 日本"}'),
        ('{"a":"x|y"}', '{"a":"x|y"}'),
        ('{"a":"O\'Brien"}', '{"a":"OBrien"}\''),
        ('{"a":"\'x\'"}', '{"a":"x"}'),
        ('{"a":"\'\'\'"}', '{"a":""}\''),
        (r'{"a":"say \"hi\""}', '{"a":"say "hi""}'),
        (r'{"a":"1\n2\r\t"}', '{"a":"1\n2\r\t"}'),
        (r'{"a":"\s"}', '{"a":" "}'),
        (r'{"a":"C:\\new"}', r'{"a":"C:\new"}'),
        (r'{"a":"\\\"hi\\\""}', r'{"a":"\"hi\""}'),
        (r'{"a":"\u001f\b\f"}', r'{"a":"\u001f\b\f"}'),
        ('{"a":"O\'Brien | Sons"}', '{"a":"OBrien'),
        ('{"a":"O\'Brien","b":"x \'|y"}', '{"a":"OBrien","b":"x |y"}'),
        ('{"a":"x \'|y"}', '{"a":"x '),
        ("", ""),
    ],
)
def test_an_argument_is_unescaped_once_and_loses_its_apostrophes(text: str, arrives: str) -> None:
    assert pass_argument(text) == arrives
