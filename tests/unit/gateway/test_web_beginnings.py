"""What data looks like on its page."""

from __future__ import annotations

import pytest

from services.gateway.web.beginnings import CELL_CHARACTERS, HEX_BYTES, ROWS, TEXT_CHARACTERS, Beginning, beginning_of


def shown(data: bytes, size: int | None = None) -> Beginning:
    return beginning_of(data, len(data) if size is None else size)


def test_json_is_indented() -> None:
    found = shown(b'{"a":[1,{"b":null}]}')
    assert (found.kind, found.whole) == ("json", True)
    assert found.text == '{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ]\n}'


def test_a_list_of_flat_objects_is_a_table() -> None:
    found = shown(b'[{"name":"Cat","beats":3},{"name":"Dog","loud":true}]')
    assert found.kind == "table"
    assert found.head == ("name", "beats", "loud")
    assert found.rows == (("Cat", "3", ""), ("Dog", "", "true"))


@pytest.mark.parametrize("data", [b"[]", b'[{"a":[1]}]', b"[{}]", b"[1,2]", b'[{"a":1},2]'])
def test_other_lists_are_json(data: bytes) -> None:
    assert shown(data).kind == "json"


def test_what_only_begins_like_json_is_text() -> None:
    assert shown(b"{ this is a note }").kind == "text"


def test_json_that_is_cut_is_text() -> None:
    found = shown(b'{"a": "' + b"x" * 100, 500)
    assert (found.kind, found.whole) == ("text", False)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_lines_with_as_many_cells_each_are_a_table(delimiter: str) -> None:
    found = shown(delimiter.join(["name", "tempo"]).encode() + f'\n"Dr{delimiter}ums"{delimiter}120\n'.encode())
    assert found.head == ("name", "tempo")
    assert found.rows == ((f"Dr{delimiter}ums", "120"),)
    assert found.whole


@pytest.mark.parametrize("data", [b"a,b\n1,2,3\n", b"Dear all,\nhow are you,\n- one, two\n", b"a,b", b'a,"b\n1,2\n'])
def test_other_lines_are_text(data: bytes) -> None:
    found = shown(data)
    assert found.kind == "text"
    assert found.text == data.decode()


def test_of_a_long_table_there_is_the_beginning() -> None:
    found = shown(b"a,b\n" + b"1,2\n" * (ROWS + 1))
    assert len(found.rows) == ROWS
    assert not found.whole
    assert shown(b"a,b\n" + b"1,2\n" * ROWS).whole


def test_of_a_table_that_is_cut_the_last_line_is_left_out() -> None:
    found = shown(b"a,b\n1,2\n3,4\n5", 1000)
    assert found.rows == (("1", "2"), ("3", "4"))
    assert not found.whole


def test_long_cells_are_cut() -> None:
    assert len(shown(b"a,b\n1," + b"x" * 9999 + b"\n").rows[0][1]) == CELL_CHARACTERS


def test_a_character_cut_in_two_is_no_reason_to_show_bytes() -> None:
    data = "Käse ".encode() * 100 + b"\xc3"
    found = shown(data, len(data) + 1)
    assert (found.kind, found.text) == ("text", "Käse " * 100)
    assert shown(data).kind == "bytes", "at the very end it is no text"


def test_long_text_is_cut() -> None:
    found = shown(b"x" * (TEXT_CHARACTERS + 1))
    assert (len(found.text), found.whole) == (TEXT_CHARACTERS, False)


def test_bytes_are_shown_in_hexadecimal() -> None:
    found = shown(b"\x00AZ\x7f" + bytes(range(16, 30)))
    assert found.kind == "bytes"
    assert found.text.splitlines() == [
        "00000000  00 41 5a 7f 10 11 12 13 14 15 16 17 18 19 1a 1b  ·AZ·············",
        "00000010  1c 1d                                            ··",
    ]
    assert not shown(bytes(HEX_BYTES + 1)).whole


def test_nothing_is_nothing() -> None:
    assert shown(b"") == Beginning("text")


def test_a_mark_at_the_beginning_is_not_shown_nor_does_it_hide_a_character_that_is_cut() -> None:
    data = b"\xef\xbb\xbf" + "Käse ".encode() * 100 + b"\xe2\x82"
    found = shown(data, len(data) + 1)
    assert (found.kind, found.text) == ("text", "Käse " * 100)


def test_json_nested_deeper_than_it_is_written_is_text() -> None:
    data = b"[" * 500 + b"]" * 500
    assert shown(data) == Beginning("text", data.decode())
