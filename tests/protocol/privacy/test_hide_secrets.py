import pytest

from listenctl.protocol.privacy.hide_secrets import shown_authorization, shown_subprotocols, shown_target, shown_url

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/calls?x=1&call=2", "/calls?x=1&call=2"),
        ("/v1/listen?encoding=linear16&sample_rate=16000", "/v1/listen?encoding=linear16&sample_rate=16000"),
        ("/?callSid=4ac39924-ed74-4d42-85d4-ce45efa16044", "/?callSid=4ac39924-ed74-4d42-85d4-ce45efa16044"),
        ("/?keyboard=us&monkey=1&author=x", "/?keyboard=us&monkey=1&author=x"),
        ("/x?token=abc&x=1", "/x?token=***&x=1"),
        ("/x?x=1;access_token=abc#b", "/x?x=1;access_token=***#b"),
        ("/x?apiKey=1&API-KEY=2&x-api-key=3", "/x?apiKey=***&API-KEY=***&x-api-key=***"),
        ("/x?%74oken=abc", "/x?%74oken=***"),
        ("/x?X-Amz-Signature=abc&sig=a", "/x?X-Amz-Signature=***&sig=***"),
        ("/x?token=", "/x?token="),
        (f"/x?id={KEY}", "/x?id=***"),
        (f"/x?{KEY}", "/x?***"),
        ("/x?j=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/x?j=***"),
        ("/x#access_token=abc", "/x#access_token=***"),
        ("/sk-0123456789abcdefABCDEF/x", "/***/x"),
        ("/lctok_Ab-9/calls?x=lctok_Ab", "/***/calls?x=***"),
        ("/listen/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln/x", "/listen/***/x"),
        ("/listen/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.", "/listen/***"),
        ("/listen/eyJhbGciOiJkaXIifQ..aXY.dGV4dA.dGFn", "/listen/***"),
        ("/listen/token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/listen/***"),
        ("/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln;v=1/x", "/***/x"),
        ("/a-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/***"),
        ("/eyJhbGciOiJIUzI1NiJ9/x.y", "/eyJhbGciOiJIUzI1NiJ9/x.y"),
        ("/v1.2.3/risk-0123456789-abcdefABCDEF", "/v1.2.3/risk-0123456789-abcdefABCDEF"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_in_a_target(target: str, shown: str) -> None:
    assert shown_target(target) == shown


def test_a_url_is_shown_without_password_and_keys() -> None:
    assert shown_url("wss://u:p@h:1/a?key=1") == "wss://***@h:1/a?key=***"
    assert shown_url("/a?key=1") == "/a?key=***"


@pytest.mark.parametrize(
    ("value", "known", "shown"),
    [
        (None, (), None),
        ("audio.jambonz.org", (), "audio.jambonz.org"),
        ("audio.drachtio.org, x", (), "audio.drachtio.org, ***"),
        (f"token, {KEY}", (), "***, ***"),
        ("mine", ("mine",), "mine"),
        ("Mine9", ("Mine9",), "Mine9"),
        ("audio.jambonz.com", (), "audio.jambonz.com"),
        ("chat", (), "chat"),
        (
            "mqtt, graphql-transport-ws, v12.stomp, wamp.2.json",
            (),
            "mqtt, graphql-transport-ws, v12.stomp, wamp.2.json",
        ),
        # A key, whatever is beside it.
        (f"realtime, {KEY}", (), "realtime, ***"),
        ("realtime, openai-insecure-api-key.sk-abc, openai-beta.realtime-v1", (), "***, ***, ***"),
        ("bearer, opensesame", (), "***, ***"),
        ("access_token, swordfish, audio.jambonz.org", (), "***, ***, audio.jambonz.org"),
        ("base64url.bearer.authorization.k8s.io.abc", (), "***"),
        ("hunter2", (), "***"),
        ("Hunter", (), "***"),
        ("password", (), "***"),
        ("correct-horse-battery-staple", (), "***"),
        ("correct.horse", (), "***"),
        ("correct-horse-chat", (), "***"),
        ("ws-qkzjxvbnmt", (), "***"),
        ("chat.12-34-56", (), "***"),
        # A server can choose the second of "token, swordfish", and only its choice be known.
        ("swordfish", (), "***"),
        ("qzxwvkpjhtmnbrls", (), "***"),
        ("12345678", (), "***"),
        ("12-34-56-78", (), "***"),
        ("v1.22", (), "***"),
        ("a\x1b[2J", (), "***"),
        ("x" * 100_000, (), "***"),
        ("", (), "***"),
    ],
)
def test_only_names_of_protocols_are_shown_of_subprotocols(
    value: str | None, known: tuple[str, ...], shown: str | None
) -> None:
    assert shown_subprotocols(value, known) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, None), ("Basic YTpi", "Basic"), ("bearer x", "bearer"), (KEY, "***"), ("x y", "***")]
)
def test_of_an_authorization_only_the_scheme_is_shown(value: str | None, shown: str | None) -> None:
    assert shown_authorization(value) == shown
