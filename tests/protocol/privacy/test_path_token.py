import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.privacy.path_token import TOKEN_PREFIX, make_token, take_token


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


@given(st.lists(st.sampled_from(["/", "?", "&", "#", "token=", "lctok_a", "x", "\udcff"]), max_size=12).map("".join))
def test_what_is_taken_out_is_all_that_a_server_would_take(target: str) -> None:
    token, rest = take_token(f"/{target}")

    assert rest.startswith("/")
    assert token is None or token.startswith(TOKEN_PREFIX)
    query = rest.partition("#")[0].partition("?")[2]
    assert not any(parameter.startswith(f"token={TOKEN_PREFIX}") for parameter in query.split("&"))
    assert (token is not None) == (rest != f"/{target}")
