"""The models learn what they should: to reverse and to copy, with attention where the source word is."""

import random
from pathlib import Path
from typing import Any

import pytest

import seq2seq
from seq2seq.options import RuntimeConfig

LETTERS = "abcdefghijkl"


def write_task(folder: Path, reverse: bool) -> None:
    """Words in random order, 2 to 8 of them, and the same words backwards or forwards."""
    generator = random.Random(3)
    seen = set()
    for split, count in (("train", 6000), ("valid", 200), ("test", 200)):
        sources: list[str] = []
        while len(sources) < count:
            words = " ".join(generator.choices(LETTERS, k=generator.randint(2, 8)))
            if split == "train" or words not in seen:
                sources.append(words)
        seen.update(sources)
        targets = [" ".join(line.split()[::-1] if reverse else line.split()) for line in sources]
        (folder / f"{split}.in").write_text("".join(f"{line}\n" for line in sources))
        (folder / f"{split}.out").write_text("".join(f"{line}\n" for line in targets))


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {"reverse": tmp_path_factory.mktemp("reverse"), "copy": tmp_path_factory.mktemp("copy")}
    for name, folder in folders.items():
        write_task(folder, reverse=name == "reverse")
    return folders


def learn(folder: Path, task: Path, changes: dict[str, Any], epochs: int = 14) -> seq2seq.Run:
    """Trains a small model, by default an LSTM; `changes` are options of its groups."""
    groups: dict[str, dict[str, Any]] = {
        "encoder": {"name": "lstm", "dropout": 0.0},
        "attention": {"name": "luong_general"},
        "decoder": {"name": "lstm", "dropout": 0.0},
    }
    return seq2seq.train(
        seq2seq.Config.from_dict(
            {
                "run": str(folder / "run"),
                "data": {
                    "source": "in",
                    "target": "out",
                    "train": str(task / "train"),
                    "valid": str(task / "valid"),
                    "test": str(task / "test"),
                },
                "tokenizer": {"name": "word"},
                "threads": 1,
                "embedding_size": 64,
                **{group: {**options, **changes.get(group, {})} for group, options in groups.items()},
                "optimizer": {"name": "adam", "learning_rate": 0.005},
                "scheduler": {"name": "cosine"},
                "trainer": {
                    "max_epochs": epochs,
                    "max_minutes": None,
                    "batch_sentences": 64,
                    "label_smoothing": 0.0,
                    "patience": None,
                },
                **changes.get("others", {}),
            }
        )
    )


def near_the_diagonal(run: seq2seq.Run, task: Path, reverse: bool) -> float:
    """How often the largest weight lies within a position of the word that is written."""
    translator = seq2seq.Translator.load(run.folder, runtime=RuntimeConfig(device="cpu", precision="fp32"))
    lines = (task / "test.in").read_text().splitlines()
    near = total = 0
    for translation in translator.translate(lines, attention=True):
        words = len(translation.source_tokens) - 1
        assert translation.attention is not None
        for step, weights in enumerate(translation.attention[:-1]):
            expected = words - 1 - step if reverse else step
            near += abs(int(weights.argmax()) - expected) <= 1
            total += 1
    return near / total


def attention(name: str, **options: Any) -> dict[str, Any]:
    return {"attention": {"name": name, **options}}


def decoder(name: str, **options: Any) -> dict[str, Any]:
    return {"decoder": {"name": name, **options}}


# Every attention that can point at the word that comes next, counted from the sentence's end. Not among them are
# - none, which has no weights;
# - local_m, whose window moves from the beginning to the end;
# - the mean encoder, whose memory doesn't know where a word stands, so that equal words are one.
REVERSE = {
    "bahdanau": attention("bahdanau"),
    "bahdanau_normed": attention("bahdanau_normed"),
    "luong_dot": attention("luong_dot"),
    "luong_general": attention("luong_general"),
    "luong_concat": attention("luong_concat"),
    "luong_location": attention("luong_location"),
    # An LSTM's states, of numbers below 1, leave these scores small; it would need twice the epochs.
    "scaled_dot": {**attention("scaled_dot"), "encoder": {"name": "gru"}, **decoder("gru")},
    "scaled_general": attention("scaled_general"),
    "cosine": attention("cosine"),
    "multi_head": attention("multi_head"),
    "sigmoid": attention("bahdanau", activation="sigmoid"),
    "relu": attention("bahdanau", activation="relu"),
    "value_size": attention("luong_general", value_size=64),
    "sparsemax": attention("luong_general", normalizer="sparsemax"),
    "entmax15": attention("luong_general", normalizer="entmax15"),
    "local_p": attention("luong_general", window="local_p", window_size=4),
    "prior": attention("luong_general", prior="end"),
    "linguistic": attention("bahdanau", coverage="linguistic"),
    "neural": attention("bahdanau", coverage="neural"),
    "coverage_loss": attention("luong_general", coverage_loss=0.5),
    "input_feeding": decoder("lstm", input_feeding=True),
    "conditional_gru": decoder("conditional_gru"),
    "gnmt": decoder("gnmt"),
    "cnn": {"encoder": {"name": "cnn"}},
    "transformer_encoder": {"encoder": {"name": "transformer"}},
    "transformer": {
        **attention("multi_head"),
        **decoder("transformer"),
        "encoder": {"name": "transformer"},
        "others": {"optimizer": {"name": "adam", "learning_rate": 0.001}},
    },
}


MAIN = ("bahdanau", "luong_general")  # the papers'; the rest of the family takes ten minutes


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in MAIN else pytest.mark.family) for n in REVERSE]
)
def test_reversing_attends_to_the_antidiagonal(tmp_path: Path, tasks: dict[str, Path], name: str) -> None:
    run = learn(tmp_path, tasks["reverse"], REVERSE[name], epochs=9 if name in MAIN else 14)
    assert near_the_diagonal(run, tasks["reverse"], reverse=True) >= 0.9
    assert run.results["test"]["test"]["exact_match"] >= (0.99 if name in MAIN else 0.98)


@pytest.mark.family
def test_copying_attends_to_the_diagonal(tmp_path: Path, tasks: dict[str, Path]) -> None:
    others = {"optimizer": {"name": "adam", "learning_rate": 0.002}}  # at 0.005 one seed in two stays below
    run = learn(tmp_path, tasks["copy"], {**attention("luong_dot"), "others": others})
    assert near_the_diagonal(run, tasks["copy"], reverse=False) >= 0.9
    assert run.results["test"]["test"]["exact_match"] >= 0.99
