"""What TensorBoard reads back: the same numbers, the same sentences as they change, and no point twice."""

import io
import sys
import time

import pytest
import torch

from seq2seq.errors import ConfigError
from seq2seq.evaluation.translation import EOS, Hypothesis, Translation
from seq2seq.options import TrainerConfig
from seq2seq.runs import RunFolder
from seq2seq.training import tensorboard
from seq2seq.training.journal import Journal
from seq2seq.training.tensorboard import CELL, DARK, TensorBoard, check_installed
from seq2seq.training.validation import Sample

ON = TrainerConfig(tensorboard=True, samples=2)


def sample(text="A dog.", weights=((1.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 1.0))):
    tokens = [f"▁{word}" for word in text.split()]
    attention = None if weights is None else torch.tensor(weights)
    return Sample(
        "A big dog.", Translation("Ein Hund", ["▁Ein", "▁Hund", EOS], [Hypothesis(text, 0, 0, tokens, attention)])
    )


@pytest.fixture
def read(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard isn't installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return lambda: EventAccumulator(str(tmp_path / "tensorboard")).Reload()


def scalars(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_it_gets_the_same_numbers(tmp_path, read):
    journal = Journal.open(RunFolder(tmp_path), ON)
    journal.write("train", 5, 0.5, {"loss": 1.25, "gradient_norm": None})
    journal.write("train", 7, 0.7, {"loss": 1.0, "gradient_norm": 0.5})
    journal.write("valid", 7, 0.7, {"bleu": 30.0})
    journal.close()
    events = read()
    assert scalars(events, "train/loss") == [(5, 1.25), (7, 1.0)]
    assert scalars(events, "train/gradient_norm") == [(7, 0.5)]
    assert scalars(events, "valid/bleu") == [(7, 30.0)]


def test_samples_are_texts_and_images(tmp_path, read):
    from PIL import Image

    journal = Journal.open(RunFolder(tmp_path), ON)
    assert journal.samples == 2
    journal.show(3, [sample("A_cat.| Dog"), sample(weights=None)])
    journal.close()
    events = read()
    assert events.Tags()["images"] == ["sample 1/attention"]  # without attention there is none
    (text,) = events.Tensors("sample 1/text/text_summary")
    assert text.tensor_proto.string_val[0].decode().splitlines()[2:] == [
        "| source | Ein Hund |",
        "| reference | A big dog\\. |",
        "| translation | A\\_cat\\.\\| Dog |",
    ]
    (image,) = events.Images("sample 1/attention")
    assert image.step == 3
    assert (image.width, image.height) == (3 * CELL, 3 * CELL)
    pixels = Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB")
    assert pixels.getpixel((1, 1)) == DARK
    assert pixels.getpixel((CELL + 1, 1)) == (255, 255, 255)
    halfway = pixels.getpixel((CELL + 1, CELL + 1))
    assert all(abs(part - (255 + dark) / 2) <= 1 for part, dark in zip(halfway, DARK, strict=True))


@pytest.mark.parametrize("validated", [True, False])
def test_a_resumed_training_goes_on_without_double_points(tmp_path, read, validated):
    """The checkpoint of update 2 was saved before its validation, or after it."""
    folder = RunFolder(tmp_path)
    journal = Journal.open(folder, ON)
    journal.write("train", 1, 0.1, {"loss": 4.0})
    journal.write("train", 2, 0.2, {"loss": 3.0})
    before = journal.position()
    journal.write("valid", 2, 0.2, {"bleu": 7.0})
    journal.show(2, [sample()])
    position = journal.position() if validated else before
    journal.write("train", 4, 0.4, {"loss": 2.0})
    journal.close()
    time.sleep(1 - time.time() % 1)  # files of one second may be read in the wrong order
    again = Journal.open(folder, ON, position, 2)
    if not validated:
        again.write("valid", 2, 0.2, {"bleu": 8.0})
        again.show(2, [sample()])
    again.write("train", 4, 0.4, {"loss": 1.0})
    again.close()
    events = read()
    assert scalars(events, "train/loss") == [(1, 4.0), (2, 3.0), (4, 1.0)]
    assert scalars(events, "valid/bleu") == [(2, 7.0 if validated else 8.0)]
    assert [image.step for image in events.Images("sample 1/attention")] == [2]
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

    texts = EventAccumulator(str(folder.tensorboard)).Reload()  # TensorBoard's own; the older one keeps all texts
    assert [text.step for text in texts.Tensors("sample 1/text/text_summary")] == [2]


def test_wanting_it_without_having_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"trainer\.tensorboard=true needs .* pip install 'seq2seq\[tensorboard\]'"):
        check_installed(True)
    check_installed("auto")
    check_installed(False)


def test_an_installation_that_is_broken_stops_only_who_asked_for_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)  # importing it fails
    monkeypatch.setattr(tensorboard.LOGGER, "propagate", True)
    assert TensorBoard.open(tmp_path, "auto", 3) is None
    assert "nothing is written for TensorBoard" in caplog.text
    with pytest.raises(ConfigError, match="can't be imported"):
        TensorBoard.open(tmp_path, True, 3)
    assert TensorBoard.open(tmp_path, False, 3) is None
