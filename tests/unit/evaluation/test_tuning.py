"""The grid of tune.py, its table, and the words that it ends with."""

import pytest

from seq2seq.errors import ConfigError
from seq2seq.evaluation.tuning import GridConfig, Setting, TuneConfig, settings_of, show, words_for
from seq2seq.options import SearchConfig

DEFAULT = Setting(5, "average", 1.0, 0.0)


def test_the_grid_is_all_that_differ_in_effect():
    grid = GridConfig([1, 2, 4], ["none", "average", "gnmt"], [0.0, 0.5, 1.0], [0.0, 0.2])
    settings = list(settings_of(grid, DEFAULT, attends=True))
    assert settings[0] == DEFAULT
    assert len(settings) == len(set(settings)) == 1 + 1 + 2 * 2 * (1 + 2 * 2)
    assert [setting for setting in settings if setting.beam_size == 1] == [Setting(1, "average", 1.0, 0.0)]
    without = [setting for setting in settings if setting.length_penalty == "none"]
    assert without == [Setting(beam, "none", 1.0, coverage) for beam in (2, 4) for coverage in (0.0, 0.2)]


@pytest.mark.parametrize(
    "default",
    [
        Setting(3, "average", 0.0, 0.2),
        Setting(3, "gnmt", 1.0, 0.0),
        Setting(1, "gnmt", 0.7, 0.2),
        Setting(3, "none", 2.0, 0.0),
    ],
)
def test_the_default_is_there_once(default):
    grid = GridConfig([1, 3], ["none", "average", "gnmt"], [0.0, 1.0], [0.0, 0.2])
    settings = list(settings_of(grid, default, attends=True))
    assert settings.count(default) == 1
    assert len(settings) == 1 + 2 * (1 + 2)  # beam 1; beam 3 without and with each of two penalties, at two coverages


def test_coverage_is_tried_where_there_is_attention():
    grid = GridConfig([2], ["none"], [1.0])
    of_attending = {setting.coverage_penalty for setting in settings_of(grid, DEFAULT, attends=True)}
    assert len(of_attending) > 3
    assert {setting.coverage_penalty for setting in settings_of(grid, DEFAULT, attends=False)} == {0.0}
    grid = GridConfig(beam_size=[4], coverage_penalty=[0.0, 0.1])
    with pytest.raises(ConfigError, match=r"grid\.coverage_penalty=.*needs attention weights, but this model has no"):
        list(settings_of(grid, DEFAULT, attends=False))


def test_the_words_are_what_differs_from_the_runs_own():
    own = SearchConfig(beam_size=5, n_best=3)
    searched = SearchConfig(beam_size=4, block_ngram=3, sample=False)  # by the command line
    assert words_for(own, own, Setting(5, "average", 1.0, 0.0)) == ""
    assert words_for(own, searched, Setting(8, "gnmt", 0.6, 0.1)) == (
        "search.beam_size=8 search.length_penalty=gnmt search.length_alpha=0.6 search.coverage_penalty=0.1 "
        "search.block_ngram=3"
    )
    assert words_for(own, searched, Setting(2, "average", 1.0, 0.0)) == (
        "search.beam_size=2 search.n_best=2 search.block_ngram=3"  # three can't be found by two
    )
    drawing = SearchConfig(sample=True, n_best=9)
    assert words_for(drawing, SearchConfig(), DEFAULT) == "search.n_best=5 search.sample=false"


def row(bleu, default=False, **changes):
    return {**DEFAULT._replace(**changes)._asdict(), "bleu": bleu, "length": 0.9871, "default": default}


def test_the_table_shows_the_best_and_the_default():
    rows = [row(40.0 - beam, beam_size=beam) for beam in range(7, 20)] + [row(20.5, default=True)]
    scores = {"sentences": 1014, "bleu_signature": "SIGNATURE"}
    results = {"rows": rows, "best": rows[0], "default": rows[-1], "scores": scores, "words": "search.beam_size=7"}
    shown = show(results, 3).splitlines()
    assert shown[0].split() == ["beam_size", "length_penalty", "length_alpha", "coverage_penalty", "BLEU", "length"]
    assert [line.split() for line in shown[1:5]] == [
        ["7", "average", "1.0", "0.0", "33.00", "0.987"],
        ["8", "average", "1.0", "0.0", "32.00", "0.987"],
        ["9", "average", "1.0", "0.0", "31.00", "0.987"],
        ["default", "5", "average", "1.0", "0.0", "20.50", "0.987"],
    ]
    assert shown[5:] == [
        "10 more; rows=null shows all",
        "1,014 sentences, SIGNATURE; length: words of the translations for each word of the references",
        "+12.50 BLEU on this set, for which it was chosen; give to translate.py: search.beam_size=7",
    ]
    assert len(show(results, None).splitlines()) == 1 + 14 + 2
    assert "the run's own search is the best" in show(results | {"best": rows[-1], "words": ""}, 3)


REFUSED = {
    "which model? set run=FOLDER, the folder that train.py left": {"run": None},
    "source=FILE and reference=FILE go together; without both, the run's validation set is taken": {"source": "s"},
    "grid.length_penalty=avg is not allowed: it must be one of none, average, gnmt": {
        "grid": {"length_penalty": ["avg"]}
    },
    "grid.beam_size=[] is not allowed: it must be a list of numbers, 1 to 100 of them": {"grid": {"beam_size": []}},
    "grid.coverage_penalty=[-1] is not allowed: it must be from 0.0 to 100.0": {"grid": {"coverage_penalty": [-1]}},
    "search.n_best changes nothing here: it is the best translation of each line that is scored": {
        "search": {"n_best": 3}
    },
    "search.sample=true draws translations, and only beams are tuned; leave it out": {"search": {"sample": True}},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_tuned_is_refused_before_anything_is_loaded(message):
    with pytest.raises(ConfigError) as caught:
        TuneConfig.from_dict({"run": "r", **REFUSED[message]})
    assert str(caught.value) == message
