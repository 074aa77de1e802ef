"""Tables of text, aligned and in Markdown."""

from __future__ import annotations

from seq2seq.tables import aligned, markdown

CELLS = [["name", "what", "n"], ["a", "b|c", "1,000"], ["long name", "", "2"]]


def test_names_stand_left_and_numbers_right() -> None:
    assert aligned(CELLS, left=2) == "name       what      n\na          b|c   1,000\nlong name            2\n"
    assert aligned(CELLS) == "name       what      n\na           b|c  1,000\nlong name            2\n"


def test_what_has_no_room_stands_below_with_the_names_again() -> None:
    assert (
        aligned(CELLS, width=21)
        == "name       what\na           b|c\nlong name\n\nname           n\na          1,000\nlong name      2\n"
    )
    assert aligned(CELLS, width=22).count("name ") == 2  # the head, and the long name: one block
    assert aligned([["n", "a", ""], ["x", "1", "p"]], width=6) == "n  a\nx  1  p\n"  # what has no title stays
    assert aligned(CELLS, width=3).startswith("name       what\n")  # a column at least


def test_a_bar_in_a_cell_ends_no_cell_of_markdown() -> None:
    assert markdown(CELLS, left=2) == (
        "| name | what | n |\n| --- | --- | ---: |\n| a | b\\|c | 1,000 |\n| long name |  | 2 |\n"
    )
