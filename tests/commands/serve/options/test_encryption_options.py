from pathlib import Path

import pytest
from pyrage import x25519

from tests.helpers.cli import refusal

RECIPIENT = str(x25519.Identity.generate().to_public())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["serve", "--encrypt-to", RECIPIENT], "--encrypt-to needs --record"),
        (["record", "-", "--encrypt-to", RECIPIENT], "encrypt stdout with age itself"),
        (["record", "x.flac", "--encrypt-to", RECIPIENT], "flac is converted from the finished recording, which only"),
        (["record", "--format", "raw", "--encrypt-to", RECIPIENT], "raw is converted from the finished recording"),
        (["record", "s3://calls/", "--encrypt-to", RECIPIENT], "--encrypt-to records to a folder: an upload takes"),
        (["record", "--dump", "d", "--encrypt-to", RECIPIENT], "--dump would write the audio that --encrypt-to"),
        (["record", "--encrypt-to", "age1nonsense"], "'age1nonsense' can't be used as a recipient"),
        (["record", "--encrypt-to", "keys.txt"], "--encrypt-to keys.txt: can't be read: No such file"),
        (["record", "--encrypt-to", "AGE-SECRET-KEY-1ABC"], "is a SECRET key"),
    ],
)
def test_what_would_not_be_encrypted_is_wrong_usage(options: list[str], reason: str, tmp_path: Path) -> None:
    said = refusal(*options, home=tmp_path)

    assert reason in said
    assert "1ABC" not in said
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == []
