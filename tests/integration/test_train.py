"""train.py, as a user runs it: from another folder, with odd names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from support.scripts import ODD, SMALL, Command, Corpus, Trained

import seq2seq
from seq2seq.data.lines import read_lines
from seq2seq.models.weights import digest
from seq2seq.text.pair import TokenizerPair


def test_training_leaves_its_folder_and_the_encoded_corpus(trained: Trained) -> None:
    assert {path.name for path in trained.cwd.iterdir()} == {ODD, "runs"}
    assert [path.name for path in (trained.cwd / "runs").iterdir()] == ["encoded"]
    fixed = {"config.json", "data.json", "results.json", "metrics.jsonl", "sessions.jsonl", "train.log", ".lock"}
    fixed |= {"tokenizer/shared.model", "lexicon.safetensors"}
    texts = {f"translations/{name}.{kind}" for name in ("a", "b-2") for kind in ("source", "reference", "hypothesis")}
    assert fixed | texts <= trained.files
    others = {name for name in trained.files - fixed - texts if not name.startswith("tensorboard/")}
    assert all(name.startswith("checkpoints/") for name in others)
    manifests = {name for name in others if name.endswith(".json")}
    assert len(manifests) >= 2
    assert len(others) == 3 * len(manifests)  # weights and training state beside each
    assert not any(path.is_symlink() for path in trained.run.rglob("*"))


def test_results_hold_what_they_promise(trained: Trained, corpus: Corpus) -> None:
    results = trained.results
    assert results["test"].keys() == {"a", "b-2"}
    for scores in results["test"].values():
        assert scores.keys() == {
            "bleu", "bleu_signature", "chrf", "chrf_signature", "exact_match", "sentences", "seconds",
            "sentences_per_second",
        }  # fmt: skip
        assert 0 <= scores["bleu"] <= 100
        assert 0 < scores["chrf"] <= 100
        assert 0 <= scores["exact_match"] <= 1
        assert scores["sentences"] == 15
        assert "tok:13a" in scores["bleu_signature"]
        assert scores["chrf_signature"].startswith("nrefs:1|case:mixed")
    train_keys = {"updates", "epochs", "seconds", "target_tokens_per_second", "peak_memory_bytes", "stop_reason"}
    assert train_keys <= results["train"].keys()
    assert (results["train"]["updates"], results["train"]["epochs"]) == (45, 3)
    assert results["train"]["stop_reason"] == "trainer.max_epochs=3"
    assert results["train"]["target_tokens_per_second"] > 0
    assert results["train"]["peak_memory_bytes"] > 50_000_000
    assert {"loss", "perplexity", "bleu"} <= results["valid"].keys()
    assert results["model"].keys() == {"parameters", "digest"}
    assert {"torch", "sacrebleu", "sentencepiece", "python", "seq2seq"} <= results["versions"].keys()
    assert "git_commit" in results
    assert results["device"] == "cpu, fp32, 1 thread"
    packed = f"{corpus.first}.de.gz"
    files = results["data"]["files"]
    assert files["train"][packed] == hashlib.sha256(Path(packed).read_bytes()).hexdigest()
    assert [len(files["train"]), len(files["valid"]), *map(len, files["test"].values())] == [4, 2, 2, 2]
    assert results["data"]["pairs"] == {"train": 300, "valid": 20, "a": 15, "b-2": 15}


def test_the_config_is_resolved_and_at_the_root(trained: Trained) -> None:
    config = json.loads((trained.run / "config.json").read_text(encoding="utf-8"))
    assert config["format_version"] == 2
    assert (config["device"], config["precision"], config["threads"], config["run"]) == ("cpu", "fp32", 1, ODD)
    assert config["encoder"]["name"] == "lstm"
    assert seq2seq.Config.from_dict(config).to_dict() == config


def test_metrics_have_a_line_for_each_validation(trained: Trained) -> None:
    lines = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    valid = [line for line in lines if line["kind"] == "valid"]
    assert [line["update"] for line in valid] == [15, 30, 45]
    assert valid[-1]["loss"] < valid[0]["loss"]
    best = max(valid, key=lambda line: line["bleu"])
    assert trained.results["valid"]["bleu"] == best["bleu"]


def test_the_log_says_what_the_terminal_showed(trained: Trained) -> None:
    log = (trained.run / "train.log").read_text(encoding="utf-8")
    for line in (
        "300 training pairs",
        "valid after update 45",
        "stopped after update 45: trainer.max_epochs=3",
        "BLEU",
    ):
        assert line in trained.said.err
        assert line in log
    signature = trained.results["test"]["a"]["bleu_signature"]
    assert signature in trained.said.err
    assert str(ODD) in trained.said.err.splitlines()[-2]
    assert "Traceback" not in trained.said.err


def test_the_scored_weights_are_the_ones_that_translate(trained: Trained) -> None:
    translator = seq2seq.Translator.load(trained.run)
    assert digest(translator.model) == trained.results["model"]["digest"]
    sources = read_lines(trained.run / "translations" / "a.source")
    hypotheses = read_lines(trained.run / "translations" / "a.hypothesis")
    assert [translation.text for translation in translator.translate(sources)] == hypotheses
    assert [translation.text for translation in translator.translate(sources[3:4])] == hypotheses[3:4]


def test_training_from_python_stops_at_an_update_and_is_the_same_each_time(corpus: Corpus, here: Path) -> None:
    words = [f"data.train={corpus.second}", "data.valid_split=12", "trainer.max_updates=3", *SMALL, "run=r"]
    run = seq2seq.train(seq2seq.compose(words))
    assert run.folder == Path("r")
    assert run.results == json.loads((here / "r" / "results.json").read_text(encoding="utf-8"))
    assert run.results["test"] == {}
    assert (run.results["train"]["updates"], run.results["train"]["stop_reason"]) == (3, "trainer.max_updates=3")
    assert run.results["data"]["pairs"] == {"train": 88, "valid": 12}
    assert run.results["valid"]["update"] == 3
    assert len(seq2seq.Translator.load(run.folder).translate(["Ein Hund.", ""])) == 2
    again = seq2seq.train(seq2seq.compose([*words[:-1], "run=again"]))
    assert again.results["model"]["digest"] == run.results["model"]["digest"]
    other = seq2seq.train(seq2seq.compose([*words[:-1], "run=other", "seed=2"]))
    assert other.results["model"]["digest"] != run.results["model"]["digest"]


def test_a_run_starts_from_another_ones_weights_and_tokenizer(trained: Trained, corpus: Corpus, here: Path) -> None:
    words = [*corpus.words(), "trainer.max_updates=1", *SMALL, "optimizer.learning_rate=0", "run=r"]
    run = seq2seq.train(seq2seq.compose([*words, f"init={trained.run}"]))
    assert run.results["model"]["digest"] == trained.results["model"]["digest"]
    assert TokenizerPair.load(here / "r" / "tokenizer").source.digest == run.results["data"]["tokenizer"]["source"]
    assert run.results["data"]["tokenizer"] == trained.results["data"]["tokenizer"]


def test_runs_without_a_name_go_under_runs(command: Command, corpus: Corpus, here: Path) -> None:
    done = command("train", *corpus.words(), *SMALL, "encoder=gru", "attention=bahdanau", "trainer.max_updates=1")
    assert done.code == 0, done.err
    encoded, run = sorted((here / "runs").iterdir(), key=lambda path: path.name != "encoded")
    assert encoded.name == "encoded"
    assert run.name.endswith("-gru-bahdanau-lstm")
    assert [path.name for path in here.iterdir()] == ["runs"]


def test_a_sweep_makes_a_run_for_each_choice(command: Command, corpus: Corpus, here: Path) -> None:
    done = command("train", "-m", *corpus.words(), *SMALL, "trainer.max_updates=2", "seed=1,2", "run=s w")
    assert done.code == 0, done.err
    runs = sorted(path for path in (here / "s w").iterdir() if path.is_dir())
    assert [run.name for run in runs] == ["seed=1", "seed=2"]
    assert [json.loads((run / "config.json").read_text())["seed"] for run in runs] == [1, 2]
    assert all((run / "results.json").is_file() for run in runs)
    assert {path.name for path in here.iterdir()} == {"s w", "runs"}
    assert [path.name for path in (here / "runs").iterdir()] == ["encoded"]  # once for both


def test_a_failing_job_of_a_sweep_lets_the_others_run(command: Command, corpus: Corpus, here: Path) -> None:
    words = [*corpus.words(), *SMALL, "trainer.max_updates=1", "decoder.hidden_size=12"]
    done = command("train", "-m", *words, "attention=luong_dot,luong_general")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.err.count("attention=luong_dot needs decoder.hidden_size (12) to equal") >= 1
    (run,) = (here / "runs" / "sweeps").glob("*/*/")
    assert json.loads((run / "config.json").read_text())["attention"]["name"] == "luong_general"
    assert (run / "results.json").is_file()
