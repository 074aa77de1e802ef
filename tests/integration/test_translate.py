"""translate.py, a Unix filter; and the translator from Python."""

from __future__ import annotations

import json
import os
import queue
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.scripts import SCRIPTS, SENTENCES, TEXT, Command, Corpus, Done, Trained

import seq2seq


def test_one_line_out_for_each_line_in(command: Command, model: str) -> None:
    strange = "Ein Hund.\u2028Ein Tisch.\u0085\x0b\x0c"
    lines = ["Ein Hund.", "", "Ein Hund.\r", "   ", strange, "\ufeff", "Ein Hund."]
    done = command("translate", model, stdin="\n".join(lines).encode())  # no newline at the end
    assert (done.code, done.err) == (0, "")
    assert command("translate", model, stdin="\n".join(["\ufeffEin Hund.", *lines[1:]]).encode()) == done
    assert len(done.lines) == len(lines)
    assert done.lines[1] == done.lines[3] == ""
    assert done.lines[0] == done.lines[2] == done.lines[6] != ""
    assert command("translate", model, stdin=b"") == Done(0, "", "")
    assert command("translate", model, stdin=b"\n") == Done(0, "\n", "")


def test_what_is_not_utf8_is_replaced_with_a_warning(command: Command, model: str) -> None:
    done = command("translate", model, stdin="Ein Hund.\nschön\nEin Hund.\n".encode("latin-1"))
    assert done.code == 0
    assert len(done.lines) == 3
    assert done.err == "warning: line 2: not valid UTF-8 (byte 0xF6); U+FFFD put in its place\n"
    assert command("translate", model, stdin="sch\ufffdn\n".encode()).lines == done.lines[1:2]


def test_a_line_without_end_is_cut_with_a_warning(command: Command, model: str) -> None:
    long = " ".join(["Hund"] * 5000)
    words = [model, "search.max_length=20", "search.max_source_length=300", "search.beam_size=1"]
    done = command("translate", *words, stdin=f"Ein Hund.\n{long}\n\nEin Hund.\n".encode())
    assert done.code == 0
    assert len(done.lines) == 4
    assert done.lines[0] == done.lines[3]
    assert done.err.count("\n") == 1
    assert done.err.startswith("warning: line 2: cut from ")
    assert done.err.endswith(" to 300 tokens (search.max_source_length)\n")


@pytest.mark.parametrize("words", [[], ["search.beam_size=1"], ["search.sample=true"]])
def test_the_batch_size_changes_no_text(words: list[str], command: Command, model: str) -> None:
    at_once = command("translate", model, *words, stdin=TEXT)
    assert at_once.code == 0
    assert len(at_once.lines) == len(SENTENCES)
    assert len(set(at_once.lines)) > 1
    assert command("translate", model, *words, "batch_size=1", stdin=TEXT).lines == at_once.lines
    assert command("translate", model, *words, "batch_size=5", stdin=TEXT).lines == at_once.lines
    assert command("translate", model, *words, "batch_size=5", "workers=2", stdin=TEXT).lines == at_once.lines


def test_n_best_is_a_json_object_a_line(command: Command, model: str) -> None:
    done = command("translate", model, "search.n_best=3", stdin=TEXT + b"\n")
    assert (done.code, done.err) == (0, "")
    objects = [json.loads(line) for line in done.lines]
    assert [content["source"] for content in objects] == [*SENTENCES, ""]
    for content in objects:
        assert content.keys() == {"source", "hypotheses"}
        assert all(hypothesis.keys() == {"text", "score", "log_prob"} for hypothesis in content["hypotheses"])
        texts = [hypothesis["text"] for hypothesis in content["hypotheses"]]
        scores = [hypothesis["score"] for hypothesis in content["hypotheses"]]
        assert len(set(texts)) == len(texts)
        assert scores == sorted(scores, reverse=True)
    assert all(1 < len(content["hypotheses"]) <= 3 for content in objects[:-1])
    assert [content["hypotheses"][0]["text"] for content in objects] == command(
        "translate", model, stdin=TEXT + b"\n"
    ).lines


def test_attention_has_a_row_for_each_token_and_a_column_for_each_piece(command: Command, model: str) -> None:
    done = command("translate", model, "attention=true", "search.n_best=2", stdin=TEXT + b"\n")
    blank = {"text": "", "score": 0.0, "log_prob": 0.0, "tokens": [], "attention": []}
    assert done.code == 0, done.err
    assert json.loads(done.lines[-1]) == {"source": "", "source_tokens": ["</s>"], "hypotheses": [blank]}
    for line in done.lines[:-1]:
        content = json.loads(line)
        assert content.keys() == {"source", "source_tokens", "hypotheses"}
        assert content["source_tokens"][-1] == "</s>"
        assert "".join(content["source_tokens"][:-1]).replace("\u2581", " ").strip() == content["source"]
        for hypothesis in content["hypotheses"]:
            assert hypothesis.keys() == {"text", "score", "log_prob", "tokens", "attention"}
            weights = torch.tensor(hypothesis["attention"])
            assert weights.shape[1] == len(content["source_tokens"])
            assert weights.shape[0] - len(hypothesis["tokens"]) in (0, 1)  # EOS has a row where it was reached
            torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)), atol=1e-4, rtol=0)


def test_a_prefix_is_what_the_translation_begins_with(command: Command, model: str) -> None:
    lines = [{"text": SENTENCES[0], "prefix": "The old dog"}, {"text": SENTENCES[0]}, {"text": "a\nb"}]
    stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = command("translate", model, "input_format=json", stdin=stdin)
    texts = [json.loads(line)["hypotheses"][0]["text"] for line in done.lines]
    assert texts[0].startswith("The old dog")
    assert len(texts) == 3


def test_a_faulty_line_ends_the_run_after_the_lines_before_it(command: Command, model: str) -> None:
    good = "".join(json.dumps({"text": line}) + "\n" for line in SENTENCES).encode()
    expected = command("translate", model, "input_format=json", stdin=good)
    assert (expected.code, len(expected.lines)) == (0, len(SENTENCES))
    where = f"error: line {len(SENTENCES) + 1}:"
    for line, message in (
        (b'{"text": ', "not valid JSON (Expecting value at column 10); input_format=text reads plain lines"),
        (b'{"txt": "a", "text": "b"}', "unknown key 'txt': did you mean text?"),
        (
            b"[" * 100_000,
            "not valid JSON (too many lists or objects inside each other); input_format=text reads plain lines",
        ),
    ):
        done = command("translate", model, "input_format=json", stdin=good + line + b"\n" + good)
        assert done == Done(1, expected.out, f"{where} {message}\n")


def test_files_with_odd_names(command: Command, model: str, here: Path) -> None:
    source, target = here / "in,put=[1] ü'.txt", here / "~out {2}.txt"
    source.write_bytes(TEXT)
    done = command("translate", model, f"input={source.name}", f"output={target}")
    assert (done.code, done.out) == (0, "")
    assert target.read_text(encoding="utf-8").splitlines() == command("translate", model, stdin=TEXT).lines
    assert sorted(path.name for path in here.iterdir()) == sorted([source.name, target.name])


def test_the_folder_moves_and_needs_nothing_outside(command: Command, trained: Trained, here: Path, model: str) -> None:
    expected = command("translate", model, stdin=TEXT)
    (here / "on another machine").mkdir()
    shutil.copytree(trained.run, here / "on another machine" / "m")
    for name in ("translations", "train.log", "metrics.jsonl"):
        path = here / "on another machine" / "m" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert command("translate", "run=on another machine/m", stdin=TEXT) == expected


@pytest.fixture
def coprocess(model: str, here: Path) -> Iterator[tuple[subprocess.Popen[bytes], queue.Queue[bytes]]]:
    """translate.py with batch_size=1, and the lines that it answers."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "translate.py"), model, "batch_size=1", "threads=1"],
        cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    answers: queue.Queue[bytes] = queue.Queue()
    assert process.stdout is not None
    output = process.stdout
    thread = threading.Thread(target=lambda: [answers.put(line) for line in iter(output.readline, b"")], daemon=True)
    thread.start()
    yield process, answers
    process.kill()
    process.wait()
    thread.join(10)
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def test_a_coprocess_answers_before_it_reads_on(
    coprocess: tuple[subprocess.Popen[bytes], queue.Queue[bytes]], command: Command, model: str
) -> None:
    process, answers = coprocess
    assert process.stdin is not None
    got = []
    for line in ("Ein Hund.", "", SENTENCES[0]):
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
        got.append(answers.get(timeout=60).decode().rstrip("\n"))
    assert got == command("translate", model, stdin=f"Ein Hund.\n\n{SENTENCES[0]}\n".encode()).lines
    process.stdin.close()
    assert process.wait(60) == 0


@pytest.fixture
def filtering(model: str) -> list[str]:
    """translate.py as it is run in the tests below, each in a process of its own."""
    return [sys.executable, str(SCRIPTS / "translate.py"), model, "search.beam_size=1", "threads=1", "batch_size=2"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reader_that_goes_away_ends_it_quietly(filtering: list[str], here: Path, workers: int) -> None:
    """As `| head -1`, with more output to come than a pipe holds."""
    (here / "in.txt").write_bytes(TEXT * 10_000)
    with subprocess.Popen(
        [*filtering, "input=in.txt", f"workers={workers}"], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read().decode()
    assert error == ""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_ends_all_its_processes(filtering: list[str], here: Path, workers: int) -> None:
    """The terminal sends it to each of them."""
    (here / "in.txt").write_bytes(TEXT * 10_000)
    with subprocess.Popen(
        [*filtering, "input=in.txt", "output=out", f"workers={workers}"],
        cwd=here,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as process:
        while not ((here / "out").exists() and (here / "out").stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of them is left


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "workers"), [(1, 0), (2, 0), (3, 2)])
def test_killed_again_and_again_it_goes_on(
    filtering: list[str], here: Path, command: Command, seed: int, workers: int
) -> None:
    """SIGKILL when a part of the output, chosen by chance, is there; a torn line, be it inside a character, is cut."""
    lines = [" ".join(SENTENCES[i % 12].split()[i % 5 :]) for i in range(150)]
    (here / "in.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    words = ["input=in.txt", "attention=true"]
    assert command("translate", *filtering[2:], *words, "output=expected").code == 0
    expected, size, killed = (here / "expected").read_bytes(), 0, 0
    chance = random.Random(seed)
    for _ in range(2):
        until = size + chance.randrange(1, (len(expected) - size) // 2)
        with subprocess.Popen(
            [*filtering, *words, "output=out", "resume=true", f"workers={workers}"], cwd=here
        ) as process:
            while (
                process.poll() is None
                and (size := (here / "out").stat().st_size if (here / "out").exists() else 0) < until
            ):
                time.sleep(0.001)
            process.kill()
        killed += process.wait() == -signal.SIGKILL
        whole = (here / "out").read_bytes()
        assert expected.startswith(whole)
        if b"\xe2\x96" in whole[-400:]:  # the beginning of U+2581
            (here / "out").write_bytes(whole[: whole.rindex(b"\xe2\x96") + chance.randrange(1, 3)])
        size = (here / "out").stat().st_size
    assert killed == 2
    done = command("translate", *filtering[2:], *words, "output=out", "resume=true")
    count = (here / "out").read_bytes()
    assert (done.code, count == expected) == (0, True)
    assert done.err.startswith("output=out has ")
    assert ": going on with line " in done.err
    again = command("translate", *filtering[2:], *words, "output=out", "resume=true")
    assert again == Done(0, "", "output=out has 150 lines, as many as the input: nothing to do\n")
    assert (here / "out").read_bytes() == expected


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_what_was_written_is_good(
    filtering: list[str], here: Path, command: Command
) -> None:
    (here / "in.txt").write_bytes(TEXT * 9)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

    full = subprocess.run(
        [*filtering, "input=in.txt", "output=out"], cwd=here, stderr=subprocess.PIPE, preexec_fn=limited, timeout=120
    )
    assert (full.returncode, full.stderr.decode()) == (
        1, "error: output=out: File too large; mend that, then go on with output=out resume=true\n",
    )  # fmt: skip
    assert command("translate", *filtering[2:], "input=in.txt", "output=expected").code == 0
    expected = (here / "expected").read_bytes()
    assert (here / "out").read_bytes() == expected[:1_000]
    assert command("translate", *filtering[2:], "input=in.txt", "output=out", "resume=true").code == 0
    assert (here / "out").read_bytes() == expected


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device that is always full is of Linux")
def test_an_output_that_takes_nothing_is_one_line(filtering: list[str], here: Path, command: Command) -> None:
    (here / "in.txt").write_bytes(TEXT)
    message = "error: output={}: No space left on device; mend that, then go on with output={} resume=true\n"
    done = command("translate", *filtering[2:], "input=in.txt", "output=/dev/full")
    assert done == Done(1, "", message.format("/dev/full", "/dev/full"))
    with open("/dev/full", "wb") as device:
        full = subprocess.run(
            [*filtering, "input=in.txt"], cwd=here, stdout=device, stderr=subprocess.PIPE, timeout=120
        )
    assert (full.returncode, full.stderr.decode()) == (1, message.format("-", "FILE"))


def test_without_a_standard_input_it_says_so(filtering: list[str], here: Path) -> None:
    done = subprocess.run([*filtering], cwd=here, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(0), timeout=120)
    assert (done.returncode, done.stderr.decode()) == (1, "error: input=-: it is closed; set input=FILE\n")


def test_the_translator_from_python(trained: Trained) -> None:
    translator = seq2seq.Translator.load(trained.run, search={"n_best": 2})
    translations = translator.translate([*SENTENCES, ""], attention=True)
    assert len(translations) == len(SENTENCES) + 1
    assert translations[-1].text == ""
    first = translations[0]
    assert first.text == first.hypotheses[0].text
    assert first.score == first.hypotheses[0].score
    assert first.tokens == first.hypotheses[0].tokens
    assert first.attention is not None
    assert first.attention.shape[1] == len(first.source_tokens)
    (pair,) = translator.score([SENTENCES[0]], [first.text], attention=True)
    assert pair.log_prob == pytest.approx(sum(pair.token_log_probs), abs=1e-4)
    assert pair.attention is not None
    assert pair.attention.shape == (len(pair.tokens), len(pair.source_tokens))
    if pair.tokens[:-1] == first.tokens:
        assert pair.log_prob == pytest.approx(first.hypotheses[0].log_prob, abs=1e-3)


def test_a_focused_word_is_looked_at_more(command: Command, model: str) -> None:
    words = [line.split()[1] for line in SENTENCES]

    def weights(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
        done = command("translate", model, "input_format=json", "attention=true", "search.beam_size=1", stdin=stdin)
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.lines]

    def of_the_word(translation: dict[str, Any]) -> float:
        """The word's mean weight over the steps: that of its pieces, the second that begin with a space."""
        starts = [i for i, piece in enumerate(translation["source_tokens"]) if piece.startswith("▁")]
        rows = translation["hypotheses"][0]["attention"]
        return sum(sum(row[starts[1] : starts[2]]) for row in rows) / len(rows)

    plain = weights([{"text": line} for line in SENTENCES])
    focused = weights(
        [{"text": line, "focus": [word], "strength": 2.0} for line, word in zip(SENTENCES, words, strict=True)]
    )
    averted = weights(
        [{"text": line, "focus": [word], "strength": -2.0} for line, word in zip(SENTENCES, words, strict=True)]
    )
    for less, usual, more in zip(averted, plain, focused, strict=True):
        assert of_the_word(less) < of_the_word(usual) < of_the_word(more)
    nothing = [{"text": line, "focus": [word], "strength": 0} for line, word in zip(SENTENCES, words, strict=True)]
    assert weights(nothing) == plain


def test_an_ensemble_of_a_model_with_itself_is_that_model(
    command: Command, trained: Trained, model: str, corpus: Corpus
) -> None:
    text = Path(f"{corpus.tests['a']}.de").read_bytes()
    words = ["search.n_best=2", "attention=true"]
    alone = command("translate", model, *words, stdin=text)
    twice = command("translate", f"run=['{trained.run}', '{trained.run}']", *words, stdin=text)
    assert (twice.code, twice.out) == (0, alone.out)
    assert alone.out.count("\n") == 15


def test_one_checkpoint_has_no_average(command: Command, trained: Trained, model: str) -> None:
    done = command("translate", model, "checkpoint=average", stdin=b"ein Hund\n")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: checkpoint=average is the mean of two or more checkpoints, but trainer.keep_best=1 leaves 1 in "
        f"{trained.run}/checkpoints; train with trainer.keep_best=5, or use checkpoint=best or last\n"
    )
