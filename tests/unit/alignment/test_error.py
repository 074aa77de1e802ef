"""AER, precision and recall of Och & Ney 2003, on examples worked by hand."""

import pytest

from seq2seq.alignment.error import AlignmentError
from seq2seq.alignment.links import Gold, parse


def scores(*pairs):
    error = AlignmentError()
    for links, gold in pairs:
        error.add(parse(links), Gold.parse(gold))
    return error.scores()


def measures(*pairs):
    found = scores(*pairs)
    return found["aer"], found["precision"], found["recall"]


def test_a_worked_example():
    # A = {00, 11, 12, 32}, S = {00, 11, 22}, P = S + {12, 20}: |A & S| = 2, |A & P| = 3, |A| = 4, |S| = 3
    found = scores(("0-0 1-1 1-2 3-2", "0-0 1-1 2-2 1?2 2?0"))
    assert found["precision"] == 3 / 4
    assert found["recall"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["aer"] == pytest.approx(1 - 5 / 7, abs=1e-6)
    assert (found["sentences"], found["links"], found["sure"], found["possible"]) == (1, 4, 3, 5)


@pytest.mark.parametrize("links", ["0-0 1-1", "0-0 1-1 1-0", "0-0 1-1 1-0 0-1"])
def test_all_sure_links_and_any_of_the_possible_ones_are_without_error(links):
    """The property that the measure was made for: S in A, and A in P."""
    assert measures((links, "0-0 1-1 0?1 1?0")) == (0.0, 1.0, 1.0)


def test_without_possible_links_it_is_one_less_f1():
    precision, recall = 2 / 3, 2 / 4
    aer = 1 - 2 * precision * recall / (precision + recall)
    assert measures(("0-0 1-1 0-1", "0-0 1-1 2-2 3-3"))[0] == pytest.approx(aer, abs=1e-6)


@pytest.mark.parametrize(
    ("links", "gold", "expected"),
    [
        ("", "0-0 1-1", (1.0, None, 0.0)),  # nothing is aligned
        ("0-0", "", (1.0, 0.0, None)),  # nothing is to be aligned
        ("0-0", "0?0", (0.0, 1.0, None)),
        ("0-0 1-1", "0?0", (0.5, 0.5, None)),
        ("", "0?0", (None, None, None)),  # nothing was asked for, and nothing is wrong: 0 / 0
        ("", "", (None, None, None)),
    ],
)
def test_where_there_is_nothing_to_divide_by(links, gold, expected):
    assert measures((links, gold)) == expected


def test_the_links_of_all_sentences_are_counted_together():
    """Two of two and none of six: the whole, not the mean of 0 and 1."""
    assert measures(("0-0", "0-0"), ("5-5 6-6 7-7", "0-0 1-1 2-2")) == (0.75, 0.25, 0.25)
    assert measures(("0-0", "0-0"), ("", ""))[0] == 0.0
