"""The models learn what they should: to reverse and to copy, with attention where the source word is."""

import random
from pathlib import Path

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


def learn(folder: Path, attention: str, cell: str) -> seq2seq.Run:
    return seq2seq.train(
        seq2seq.Config.from_dict(
            {
                "run": str(folder / "run"),
                "data": {
                    "source": "in",
                    "target": "out",
                    "train": str(folder / "train"),
                    "valid": str(folder / "valid"),
                    "test": str(folder / "test"),
                },
                "tokenizer": {"name": "word"},
                "embedding_size": 64,
                "encoder": {"name": cell, "hidden_size": 64, "dropout": 0.0},
                "attention": attention,
                "decoder": {"name": cell, "dropout": 0.0},
                "optimizer": {"name": "adam", "learning_rate": 0.005},
                "trainer": {"max_epochs": 12, "max_minutes": 1.0, "batch_sentences": 64, "label_smoothing": 0.0},
            }
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attention", "cell", "reverse"),
    [("bahdanau", "gru", True), ("luong_general", "lstm", True), ("luong_dot", "gru", False)],
    ids=["bahdanau-reverse", "luong_general-reverse", "luong_dot-copy"],
)
def test_learns_in_a_minute_and_attends_to_the_word_that_it_writes(
    tmp_path: Path, attention: str, cell: str, reverse: bool
) -> None:
    write_task(tmp_path, reverse)
    run = learn(tmp_path, attention, cell)
    assert run.results["test"]["test"]["exact_match"] >= 0.99

    translator = seq2seq.Translator.load(run.folder, runtime=RuntimeConfig(device="cpu", precision="fp32"))
    lines = (tmp_path / "test.in").read_text().splitlines()
    near = total = 0
    for translation in translator.translate(lines, attention=True):
        words = len(translation.source_tokens) - 1
        for step, weights in enumerate(translation.attention[:-1]):
            expected = words - 1 - step if reverse else step
            near += abs(int(weights.argmax()) - expected) <= 1
            total += 1
    assert near / total >= 0.9
