import pytest

from listenctl.protocol.path_token import make_token, take_token


def test_tokens_differ_and_need_no_encoding_in_a_url() -> None:
    token = make_token()

    assert token != make_token()
    assert take_token(f"/{token}/") == (token, "/")


@pytest.mark.parametrize(
    ("target", "token", "rest"),
    [
        ("/calls?x=1", None, "/calls?x=1"),
        ("/calls?token=abc", None, "/calls?token=abc"),
        ("/calls/lctok_a", None, "/calls/lctok_a"),
        ("/lctok_a", "lctok_a", "/"),
        ("/lctok_a?x=1", "lctok_a", "/?x=1"),
        ("/lctok_a#f", "lctok_a", "/#f"),
        ("/lctok_a/b c/d", "lctok_a", "/b c/d"),
        ("/x?token=lctok_a", "lctok_a", "/x"),
        ("/x?token=lctok_a#f", "lctok_a", "/x#f"),
        ("/x?a=1&token=lctok_a&b=2", "lctok_a", "/x?a=1&b=2"),
        ("/x?", None, "/x?"),
        ("/x#?token=lctok_a", None, "/x#?token=lctok_a"),
        ("/x?token=lctok_a&token=lctok_b&c=1", "lctok_a", "/x?c=1"),
        ("/x?mytoken=lctok_a", None, "/x?mytoken=lctok_a"),
        ("/lctok_a/x?token=lctok_b", "lctok_a", "/x"),
        ("/lctok_\udcff", "lctok_\udcff", "/"),
    ],
)
def test_a_token_is_taken_out_of_path_and_query(target: str, token: str | None, rest: str) -> None:
    assert take_token(target) == (token, rest)
