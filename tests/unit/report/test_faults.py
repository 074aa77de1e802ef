"""Repetitions and omissions, on sentences whose faults anyone sees."""

import pytest

from seq2seq.report.faults import is_short, repetitions, unseen


@pytest.mark.parametrize(
    ("said", "other", "source", "found"),
    [
        ("a dog runs", "a dog runs", "ein hund rennt", []),
        ("a man sits in front of a bar in front of a bar", "a man sits in a bar", "ein mann", ["in front of a bar"]),
        ("the dog dog runs", "the dog runs", "der hund rennt", ["dog dog"]),
        # what the reference says as often is no fault
        ("a man and a man", "a man and a man", "zwei", []),
        ("a man and a man and a man", "a man and a man", "zwei", ["a man and a man"]),  # and not its parts
        # nor is what the source repeats
        ("in a shirt in a park", "in shirts", "in einem hemd in einem park", []),
        ("very very good", "good", "sehr sehr gut", []),
        # three times is more than twice
        ("very very very good", "good", "sehr sehr gut", ["very very"]),
    ],
)
def test_what_is_said_again(said: str, other: str, source: str, found: list[str]) -> None:
    assert repetitions(said.split(), other.split(), source.split()) == found


def test_a_translation_is_short_only_beside_both_its_reference_and_its_source() -> None:
    assert is_short(6, 10, 10.0)
    assert not is_short(7, 10, 10.0)
    assert not is_short(6, 8, 10.0)  # the reference, too, says it in few words
    assert not is_short(6, 10, 8.0)  # the source is short


def test_words_in_a_row_that_nothing_looked_at_are_overlooked() -> None:
    words = ["die", "Frau", ",", "im", "roten", "Kleid", "."]
    assert unseen([1.0, 0.1, 0.0, 0.1, 0.9, 0.1, 0.0], words) == [1, 3]  # a comma between doesn't part them
    assert unseen([0.1, 1.0, 0.0, 0.1, 0.9, 0.1, 0.0], words) == []  # one alone may be an article
    assert unseen([1.0, 1.0, 0.0, 0.3, 0.3, 0.19, 0.0], words) == []
    assert unseen([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], words) == [0, 1, 3, 4, 5]
