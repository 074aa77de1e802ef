"""Lines on their way through the filter; integration/test_translate.py runs the program itself."""

import copy
import dataclasses
import itertools
import json
import os
import re
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from seq2seq.commands import TranslateConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation import filter as module
from seq2seq.evaluation import spreading
from seq2seq.evaluation.filter import translate
from seq2seq.evaluation.translator import Translator
from seq2seq.processes import ProcessError
from seq2seq.resources import shipped

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind findet den Weg nach Hause"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child finds the way home"]


@pytest.fixture(scope="module")
def translators(make_translator):
    return {name: make_translator(SOURCES, TARGETS, "word", "gru", name) for name in ("bahdanau", "none")}


@pytest.fixture
def filtered(translators, tmp_path, monkeypatch):
    """Runs the filter on bytes, from file to file; its files are in.jsonl and out.jsonl."""

    def filtered(content, model="bahdanau", **options):
        def load(*_, runtime, **__):
            translator = copy.copy(translators[model])
            if runtime.threads != "auto":
                translator.runtime = dataclasses.replace(translator.runtime, threads=runtime.threads)
            return translator

        monkeypatch.setattr(Translator, "load", load)
        source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
        source.write_bytes(content)
        plain = {"run": "x", "input": str(source), "output": str(target), "input_format": "json", **options}
        translate(TranslateConfig.from_dict(plain))
        return target.read_text(encoding="utf-8").splitlines()

    return filtered


@pytest.fixture
def run(filtered):
    """Objects in, one JSON line each, and objects out."""

    def run(items, model="bahdanau", **options):
        return [json.loads(line) for line in filtered(lines_of(items), model, **options)]

    return run


def lines_of(items):
    return "".join(json.dumps(item) + "\n" for item in items).encode()


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


FAULTY = [  # a line that can't be used, by which model, and why
    (b"{", "bahdanau", r"^line 6: not valid JSON "),
    (b'{"text": "der Hund", "focus": ["Katze"]}', "bahdanau", r'^line 6: the focus "Katze" is not in the text'),
    (b'{"text": "der Hund", "focus": ["Hund"]}', "none", r"^line 6: this model has no attention"),
    (b'{"text": "der Hund", "prefix": "the dog sees the house way home"}', "bahdanau", r"^line 6: 8 prefix pieces"),
]


@pytest.mark.parametrize(("line", "model", "message"), FAULTY, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_the_lines_before_a_faulty_one_are_written(
    filtered, run, translators, monkeypatch, tmp_path, line, model, message, batch_size
):
    monkeypatch.setattr(module, "BATCHES_READ", 2)
    for side in ("source", "target"):
        monkeypatch.setattr(translators[model].model, f"longest_{side}", 7)
    before, after = [{"text": text} for text in (*SOURCES[:2], "", *SOURCES[:2])], {"text": SOURCES[0]}
    with pytest.raises(DataError, match=message):
        filtered(lines_of(before) + line + b"\n" + lines_of([after]), model, batch_size=batch_size)
    written = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["source"] for line in written] == [item["text"] for item in before]
    texts = [json.loads(line)["hypotheses"][0]["text"] for line in written]
    assert texts == [content["hypotheses"][0]["text"] for content in run(before, model)]


def test_a_byte_order_mark_at_the_beginning_is_no_text(filtered):
    mark = "\ufeff".encode()
    (plain,) = filtered(lines_of([{"text": SOURCES[0]}]))
    assert filtered(mark + lines_of([{"text": SOURCES[0]}])) == [plain]
    text = {"input_format": "text", "attention": True}
    first, second = map(json.loads, filtered(mark + b"uns\n" + mark + b"uns\n", **text))
    assert first["source"] == "uns"
    assert second["source"] == "\ufeffuns"  # elsewhere it is a character like others
    with pytest.raises(DataError, match=r"^line 2: not valid JSON "):
        filtered(lines_of([{"text": SOURCES[0]}]) + mark + lines_of([{"text": SOURCES[0]}]))


@pytest.mark.parametrize("link", [os.symlink, os.link, None], ids=["symbolic", "hard", "itself"])
def test_the_input_is_not_overwritten(filtered, tmp_path, link):
    source, name = tmp_path / "in.jsonl", tmp_path / "in.jsonl"
    source.touch()
    if link is not None:
        name = tmp_path / "other"
        link(source, name)
    content = lines_of([{"text": SOURCES[0]}])
    with pytest.raises(ConfigError) as raised:
        filtered(content, output=str(name))
    assert str(raised.value) == (
        f"output={name} is the input, which would be lost before it is read; name another file"
    )
    assert source.read_bytes() == content


def test_standard_input_is_not_overwritten(filtered, tmp_path, monkeypatch):
    content = lines_of([{"text": SOURCES[0]}])
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(ConfigError, match=r"file is the input, which would be lost before it is read; "):
            filtered(b"", input="-", output=str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == content


def test_an_older_output_is_overwritten(filtered, tmp_path):
    (tmp_path / "out.jsonl").write_text("old\n" * 9)
    assert len(filtered(lines_of([{"text": SOURCES[0]}]))) == 1


def keys(content):
    """The keys of an object and of all in it."""
    if isinstance(content, list):
        return [keys(item) for item in content[:1]]
    return {key: keys(value) for key, value in content.items()} if isinstance(content, dict) else None


def test_attention_gives_all_lines_the_keys_that_the_config_shows(run):
    spoken, *blank = run([{"text": SOURCES[0]}, {"text": ""}, {"text": "  "}], attention=True)
    for line, text in zip(blank, ("", "  "), strict=True):
        hypothesis = {"text": "", "score": 0.0, "log_prob": 0.0, "tokens": [], "attention": []}
        assert line == {"source": text, "source_tokens": ["</s>"], "hypotheses": [hypothesis]}
        assert list(line) == list(spoken)
        assert list(line["hypotheses"][0]) == list(spoken["hypotheses"][0])
    comments = (shipped("configs") / "translate.yaml").read_text(encoding="utf-8")
    shown = re.search(r"\{\"source\".*?\]\}\]\}", re.sub(r"\n +# +", " ", comments), re.DOTALL)
    example = json.loads(shown[0])
    assert keys(example) == keys(spoken)
    for line in (example, spoken):
        (hypothesis,) = line["hypotheses"]
        assert len(hypothesis["attention"]) == len(hypothesis["tokens"]) + 1
        assert {len(row) for row in hypothesis["attention"]} == {len(line["source_tokens"])}
        assert all(sum(row) == pytest.approx(1, abs=1e-4) for row in hypothesis["attention"])


def test_a_model_without_attention_has_none_to_give(filtered, tmp_path):
    with pytest.raises(ConfigError) as raised:
        filtered(b"{", model="none", attention=True)  # before a line is read
    assert str(raised.value) == (
        "attention=true: this model has no attention; leave it out, or use a model with attention"
    )
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("lines", "options", "asked"),
    [
        (2, {"threads": 2}, []),  # a single batch
        (5, {"threads": 2}, [2]),
        (12, {"threads": 2}, [2]),
        (12, {"threads": 2, "alone": 3600}, []),  # done before they would have started
        (12, {"threads": 1}, []),
        (12, {"threads": 2, "workers": 0}, []),
        (12, {"threads": 5}, [5]),
        (12, {"threads": 100}, [8]),
        (12, {"threads": 2, "attention": True}, [2]),
        (1, {"threads": 1, "workers": 3}, [3]),
        (1, {"threads": 1, "workers": 0}, []),
        (12, {"threads": 2, "batch_size": 1}, []),
    ],
)
def test_processes_that_nobody_asked_for_are_for_long_inputs(filtered, monkeypatch, lines, options, asked):
    options, spread = dict(options), []

    @contextmanager
    def recorded(translator, workers):
        spread.append(workers)
        yield SimpleNamespace(answers=lambda requests: map(translator.found_together, requests))

    monkeypatch.setattr(spreading, "_crew", recorded)
    monkeypatch.setattr(spreading, "SECONDS_ALONE", options.pop("alone", 1e-9))
    monkeypatch.setattr(module, "BATCHES_READ", 3)
    items = lines_of({"text": SOURCES[i % 3]} for i in range(lines))

    def texts(**options):
        return [json.loads(line)["hypotheses"][0]["text"] for line in filtered(items, **options)]

    found = texts(**{"batch_size": 2, **options})
    assert spread == asked
    assert found == texts(threads=1)


def test_processes_that_nobody_asked_for_are_done_without(translators, filtered, monkeypatch, caplog):
    closed = []

    class Dying:
        def answers(self, requests):
            for request in itertools.islice(requests, 2):  # which others than this one had
                yield translators["bahdanau"].found_together(request)
            list(itertools.islice(requests, 2))
            raise ProcessError("a process that translates has died (signal 9)")

        def close(self):
            closed.append(self)

    @contextmanager
    def dying(translator, workers):
        yield Dying()

    @contextmanager
    def unable(translator, workers):
        raise ProcessError("no process can be started")
        yield

    monkeypatch.setattr(spreading, "SECONDS_ALONE", 0.0)
    monkeypatch.setattr(module, "BATCHES_READ", 9)
    items = lines_of({"text": SOURCES[i % 3]} for i in range(20))
    expected = filtered(items, threads=1, batch_size=2)
    for crew, said in ((dying, "has died (signal 9)"), (unable, "no process can be started")):
        monkeypatch.setattr(spreading, "_crew", crew)
        caplog.clear()
        assert filtered(items, threads=2, batch_size=2) == expected
        assert len(closed) == 1  # the others of its processes don't stay behind
        assert [record.getMessage().endswith(f"{said}: going on in one process") for record in caplog.records] == [True]
        with pytest.raises(ProcessError, match=re.escape(said)):
            filtered(items, threads=2, batch_size=2, workers=2)


def test_workers_that_cannot_be_had_cost_no_output(translators, filtered, tmp_path, monkeypatch):
    filtered(lines_of([{"text": SOURCES[0]}]))
    before = (tmp_path / "out.jsonl").read_bytes()
    on_gpu = copy.copy(translators["bahdanau"])
    on_gpu.runtime = dataclasses.replace(on_gpu.runtime, device=torch.device("meta"))
    monkeypatch.setitem(translators, "bahdanau", on_gpu)
    with pytest.raises(ConfigError, match=r"^workers=2: only a CPU's work is spread, and the device is meta$"):
        filtered(lines_of([{"text": SOURCES[1]}]), workers=2)
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_workers_for_one_line_at_a_time_are_refused():
    with pytest.raises(ConfigError, match=r"^workers=2 spreads the batches of many lines, but batch_size=1 answers"):
        TranslateConfig.from_dict({"run": "x", "workers": 2, "batch_size": 1})
    TranslateConfig.from_dict({"run": "x", "workers": 0, "batch_size": 1})
