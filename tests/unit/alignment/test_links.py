"""Pharaoh's notation, with the ways in which gold standards mark links that are only possible."""

from pathlib import Path

import pytest

from seq2seq.alignment.links import Gold, parse, read_alignments, read_gold, spell
from seq2seq.errors import DataError


def test_links_are_read_and_written():
    assert parse("2-1 0-0  1-2 0-0") == {(0, 0), (1, 2), (2, 1)}
    assert parse(" ") == frozenset()
    assert spell({(10, 1), (2, 1), (2, 0)}) == "2-0 2-1 10-1"
    assert spell([]) == ""


@pytest.mark.parametrize("mark", ["2?3", "2p3", "2-3?"])
def test_possible_links_are_marked_in_three_ways(mark):
    gold = Gold.parse(f"1-1 {mark}")
    assert gold == Gold(frozenset({(1, 1)}), frozenset({(1, 1), (2, 3)}))


def test_a_link_that_is_sure_and_possible_is_sure():
    assert Gold.parse("0?0 0-0") == Gold(frozenset({(0, 0)}), frozenset({(0, 0)}))


def test_words_may_be_counted_from_one():
    assert Gold.parse("1-2 3p1", base=1) == Gold(frozenset({(0, 1)}), frozenset({(0, 1), (2, 0)}))
    with pytest.raises(ValueError, match="'0-1' has a word 0, but gold_base=1 counts them from 1; set gold_base=0"):
        Gold.parse("1-1 0-1", base=1)


@pytest.mark.parametrize("word", ["3", "3-", "-3", "1-2-3", "a-b", "1:2", "1?2?", "1--2", "²-1", "1-2p", "1 - 2"])
def test_other_words_are_refused_by_name(word):
    with pytest.raises(ValueError, match="is no link; sure ones are written 3-4, possible ones 3"):
        Gold.parse(f"0-0 {word}")
    with pytest.raises(ValueError, match="is no link; they are written 3-4"):
        parse(f"0-0 {word}")


def test_a_file_has_an_alignment_a_line(tmp_path: Path):
    file = tmp_path / "a"
    file.write_text("0-0 1-1\n\n2-0\r\n")
    assert read_alignments(file) == [{(0, 0), (1, 1)}, frozenset(), {(2, 0)}]
    assert [gold.possible for gold in read_gold(file)] == read_alignments(file)
    file.write_text("0-0\n0?1\n")
    with pytest.raises(DataError, match=rf"^{file}, line 2: '0\?1' is no link; they are written 3-4"):
        read_alignments(file)
