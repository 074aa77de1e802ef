"""Markup off, and pairs that don't fit out: against the shell commands of fairseq's prepare-iwslt14.sh."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq.errors import DataError
from seq2seq.preparation.options import RecipeConfig
from seq2seq.preparation.steps import MARKUP, Cleaning, pair_up

TALK = [
    "<url>http://www.ted.com/talks/x.html</url>",
    "<keywords>talks, life</keywords>",
    "<talkid>535</talkid>",
    "<title>Al Gore: Ideas</title>",
    "<description>With humour.</description>",
    " Thank you so much, Chris. ",
    "a < b and <em>this</em>",
]
SGML = [
    '<srcset setid="newstest2014" srclang="any">',
    '<doc sysid="ref" docid="1">',
    "<p>",
    '<seg id="1">Gutach: It’s</seg>',
    '  <seg id="12"> more &amp; less </seg>  ',
    "</p></doc></srcset>",
]


def test_talks_lose_their_tags_and_the_lines_about_them() -> None:
    assert list(MARKUP["talks"](TALK)) == [
        "Al Gore: Ideas",
        "With humour.",
        "Thank you so much, Chris.",
        "a < b and <em>this</em>",
    ]


def test_segments_are_all_that_is_left_of_sgml() -> None:
    assert list(MARKUP["segments"](SGML)) == ["Gutach: It’s", "more &amp; less"]
    assert list(MARKUP["straight_segments"](SGML)) == ["Gutach: It's", "more &amp; less"]


def test_lines_stay_as_they_are() -> None:
    assert list(MARKUP["lines"]([" <seg id=1> ", ""])) == [" <seg id=1> ", ""]


def test_sides_may_have_different_markup_but_not_different_sentences(tmp_path: Path) -> None:
    files = (tmp_path / "a", tmp_path / "b")
    files[0].write_text("<url>x</url>\n1\n2\n", encoding="utf-8")
    files[1].write_text("I\nII\n<talkid>5</talkid>\n", encoding="utf-8")
    assert list(pair_up(files, "talks")) == [("1", "I"), ("2", "II")]
    files[1].write_text("I\nII\nIII\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"/a has 2 sentences, but .*/b has more"):
        list(pair_up(files, "talks"))
    with pytest.raises(DataError, match=r"/a has 2 sentences, but .*/b has more"):
        list(pair_up(files[::-1], "talks"))


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [(2, 3, True), (3, 2, True), (2, 4, False), (4, 2, False), (5, 5, True), (6, 6, False), (6, 5, False),
     (0, 1, False), (1, 0, False), (0, 0, False), (1, 1, True), (1, 2, False)],
)  # fmt: skip
def test_pairs_are_kept_as_by_moses(source: int, target: int, kept: bool) -> None:
    """clean-corpus-n.perl -ratio 1.5 ... 1 5: from 1 to 5 words on either side, none 1.5 times the other."""
    cleaning = Cleaning(RecipeConfig(longest=5, ratio=1.5), (str, str))
    assert cleaning.keeps("wort " * source, " word" * target) is kept


def test_the_tokenizers_tokens_are_counted() -> None:
    cleaning = Cleaning(RecipeConfig(longest=2), (str, lambda line: line.replace(".", " .")))
    assert not cleaning.keeps("a b", "a b.")
    assert cleaning.keeps("a b.", "a b")


def test_without_limits_even_blank_pairs_stay() -> None:
    assert Cleaning(RecipeConfig(), (str, str)).keeps("", "word " * 1000)


def test_moses_tokens() -> None:
    """As mosesdecoder's tokenizer.perl has them: marks apart and escaped, abbreviations whole."""
    pytest.importorskip("sacremoses", reason="pip install 'seq2seq[moses]'")
    from seq2seq.preparation.moses import moses_tokenizer

    assert moses_tokenizer("en")('He said, "it\'s 5 p.m."') == "He said , &quot; it &apos;s 5 p.m. &quot;"
    assert moses_tokenizer("de")("Das ist z.B. so & so.") == "Das ist z.B. so &amp; so ."
