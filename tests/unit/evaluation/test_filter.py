"""Lines of JSON on their way through the filter; test_scripts.py runs the program itself."""

import json

import pytest

from seq2seq.errors import DataError
from seq2seq.evaluation import filter as module
from seq2seq.evaluation.filter import TranslateConfig, translate
from seq2seq.evaluation.translator import Translator

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind findet den Weg nach Hause"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child finds the way home"]


@pytest.fixture(scope="module")
def translators(make_translator):
    return {name: make_translator(SOURCES, TARGETS, "word", "gru", name) for name in ("bahdanau", "none")}


@pytest.fixture
def run(translators, tmp_path, monkeypatch):
    """Objects in, one JSON line each, and objects out."""

    def run(items, model="bahdanau", **options):
        monkeypatch.setattr(Translator, "load", lambda *_, **__: translators[model])
        source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
        source.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
        plain = {"run": "x", "input": str(source), "output": str(target), "input_format": "json", **options}
        translate(TranslateConfig.from_dict(plain))
        return [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]

    return run


def test_a_focus_moves_attention_to_its_word(run):
    items = [
        {"text": SOURCES[0], "focus": ["das Haus"], "strength": 100},
        {"text": SOURCES[0]},
        {"text": SOURCES[0], "focus": ["Hund"], "strength": 0},
        {"text": SOURCES[1], "focus": ["die", "Katze", "hört", "uns"], "strength": -100},
    ]
    held, plain, unchanged, away = (line["hypotheses"][0] for line in run(items, attention=True))
    assert all(sum(row[3:5]) == pytest.approx(1, abs=1e-4) for row in held["attention"])
    assert not any(sum(row[3:5]) == pytest.approx(1, abs=1e-4) for row in plain["attention"])
    assert all(row[-1] == pytest.approx(1, abs=1e-4) for row in away["attention"])  # on EOS
    assert unchanged == plain


def test_a_focus_is_of_strength_1_unless_it_says_so(run):
    one, other, more = run(
        [
            {"text": SOURCES[2], "focus": ["Weg"]},
            {"text": SOURCES[2], "focus": ["Weg"], "strength": 1},
            {"text": SOURCES[2], "focus": ["Weg"], "strength": 1.5},
        ],
        attention=True,
    )
    assert one == other != more


def test_faults_name_their_line_beyond_the_first_chunk(run, monkeypatch):
    monkeypatch.setattr(module, "BATCHES_READ", 1)
    items = [{"text": SOURCES[0]}] * 5
    with pytest.raises(DataError, match=r'^line 6: the focus "Katze" is not in the text as a whole word; '):
        run([*items, {"text": SOURCES[0], "focus": ["Katze"]}], batch_size=2)
    with pytest.raises(DataError, match=r"^line 6: this model has no attention that a focus or attention_bias could"):
        run([*items, {"text": SOURCES[0], "focus": ["Hund"]}], model="none", batch_size=2)
