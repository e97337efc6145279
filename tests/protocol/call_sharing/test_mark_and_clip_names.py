import pytest

from listenctl.protocol.call_sharing.mark_and_clip_names import GeneratedNames, PendingAnswer, is_generated_name


def test_each_name_is_new_and_leads_back_to_its_tool_once() -> None:
    names = GeneratedNames[str]("lc-m")

    given = [names.new_name(1, "a"), names.new_name(2, "a"), names.new_name(1, "a")]

    assert given == ["lc-m1", "lc-m2", "lc-m3"]
    assert [names.take_pending_answer(name) for name in given] == [
        PendingAnswer(1, "a"),
        PendingAnswer(2, "a"),
        PendingAnswer(1, "a"),
    ]
    assert names.take_pending_answer("lc-m1") is None
    assert names.new_name(1, "a") == "lc-m4"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lc-m",
        "lc-m0",
        "lc-m01",
        "lc-m2",
        "lc-m-1",
        "lc-m1 ",
        "lc-m2-a",
        "lc-m1a",
        "lc-m\u0661",
        "lc-m" + "9" * 5000,
        "1",
        5,
        None,
    ],
)
def test_names_of_others_are_not_ours(name: object) -> None:
    names = GeneratedNames[str]("lc-m")
    names.new_name(1, "a")

    assert names.is_generated("lc-m1")
    assert not names.is_generated(name)
    # A name stays ours after its answer.
    names.take_pending_answer("lc-m1")
    assert names.is_generated("lc-m1")


@pytest.mark.parametrize(
    ("readable", "name"),
    [
        ("outro", "lc-m1-outro"),
        ("Part_2.end", "lc-m1-Part_2.end"),
        ("x" * 32, "lc-m1-" + "x" * 32),
        ("x" * 33, "lc-m1"),
        ("", "lc-m1"),
        ("the end", "lc-m1"),
        ('"', "lc-m1"),
        ("outr\u00f3", "lc-m1"),
        ("outro\n", "lc-m1"),
        # Names that differ in each call, as programs make them.
        ("end-0123456789ab", "lc-m1"),
        # Numbers of phones and cards.
        ("555-1234", "lc-m1"),
        ("call.4111-1111-1111-1111", "lc-m1"),
        ("part-2024", "lc-m1-part-2024"),
    ],
)
def test_a_name_ends_with_that_of_its_user_if_that_is_plain(readable: str, name: str) -> None:
    names = GeneratedNames[str]("lc-m")

    assert names.new_name(1, readable, readable=readable) == name
    assert names.is_generated(name)
    assert is_generated_name(name)
    assert names.take_pending_answer(name) == PendingAnswer(1, readable)


def test_counts_what_each_tool_waits_for() -> None:
    names = GeneratedNames[str]("lc-m")
    for tool in (1, 1, 2):
        names.new_name(tool, "a")
    assert (names.count_for(1), names.count_for(2), names.count_for(3)) == (2, 1, 0)

    names.take_pending_answer("lc-m1")
    names.take_pending_answer("lc-m1")
    assert (names.count_for(1), names.count_for(2)) == (1, 1)

    names.forget_tool(2)
    assert (names.count_for(1), names.count_for(2)) == (1, 0)

    names.forget_all_tools()
    assert names.count_for(1) == 0
