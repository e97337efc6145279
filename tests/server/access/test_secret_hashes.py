from listenctl.server.access.secret_hashes import (
    hash_password,
    hash_token,
    is_password_hash,
    is_token_hash,
    verify_password,
)


def test_a_hash_holds_for_its_password_only() -> None:
    hashed = hash_password("pässword")

    assert hashed != hash_password("pässword")
    assert ":" not in hashed
    assert verify_password("pässword", hashed)
    assert not verify_password("password", hashed)


def test_a_token_is_kept_as_its_digest() -> None:
    hashed = hash_token("lctok_x")

    assert hashed == hash_token("lctok_x") != hash_token("lctok_y")
    assert "lctok_x" not in hashed
    assert (is_token_hash(hashed), is_password_hash(hashed)) == (True, False)
    assert (is_token_hash(hash_password("x")), is_token_hash("token$YQ=="), is_token_hash("token$")) == (False,) * 3
