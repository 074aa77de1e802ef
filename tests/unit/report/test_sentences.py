"""Sentences taken apart: words, differences, and which of many are shown."""

import random

import pytest

from seq2seq.report.sentences import bare, differing, regrouped, spread, words_of


def test_words_stand_between_spaces_or_are_characters_where_no_spaces_are_written() -> None:
    assert words_of("  The dog's  tail.\u00a0") == ["The", "dog's", "tail."]
    assert words_of("我是 Anna ok") == ["我", "是", "Anna", "ok"]
    assert words_of("") == []


def test_bare_words_have_no_case_and_no_punctuation_around_them() -> None:
    assert bare(["„Der", "STRASSE", "Straße,", "dog's", "—", "3.5!"]) == ["der", "strasse", "strasse", "dog's", "3.5"]


def test_what_differs_is_outside_of_what_both_have_in_order() -> None:
    ours, theirs = differing(["a", "big", "dog", "runs", "fast"], ["the", "big", "old", "dog", "runs"])
    assert ours == [True, False, False, False, True]
    assert theirs == [True, False, True, False, False]
    assert differing([], ["x"]) == ([], [True])


@pytest.mark.parametrize("seed", range(20))
def test_what_is_not_marked_is_the_same_on_both_sides(seed: int) -> None:
    random_state = random.Random(seed)
    ours, theirs = ([random_state.choice("abcd") for _ in range(random_state.randrange(12))] for _ in range(2))
    marks, their_marks = differing(ours, theirs)
    kept = [word for word, mark in zip(ours, marks, strict=True) if not mark]
    assert kept == [word for word, mark in zip(theirs, their_marks, strict=True) if not mark]


def test_marks_go_over_to_other_words_of_the_same_text() -> None:
    assert regrouped([False, True, False], ["我", "是", "安"], ["我是", "安"]) == [True, False]
    assert regrouped([True, False], ["ab", "c"], ["a", "b", "c"]) == [True, True, False]


def test_the_sentences_shown_are_the_worst_the_best_and_some_between() -> None:
    scores = [float((i * 37) % 100) for i in range(100)]  # each of 0 to 99 once
    shown = sorted(scores[i] for i in spread(scores, 20))
    assert shown[:5] == [0, 1, 2, 3, 4]
    assert shown[-5:] == [95, 96, 97, 98, 99]
    assert shown[5:15] == [5, 14, 23, 32, 41, 50, 59, 68, 77, 86]
    assert spread(scores, 100) == spread(scores, 1000) == list(range(100))
    assert all(len(set(spread(scores, count))) == count for count in range(1, 101))
