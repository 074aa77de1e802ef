"""The commands: what each does with its options, and a user's errors in a few lines without a traceback."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from seq2seq import composition
from seq2seq.arguments import prepare
from seq2seq.combinations import NO_FOLDER
from seq2seq.commands import TranslateConfig
from seq2seq.composition import Job
from seq2seq.config import Config
from seq2seq.errors import ConfigError, Interrupted, Seq2SeqError
from seq2seq.progress import log_to_terminal

LOGGER = logging.getLogger("seq2seq")


def train() -> None:
    """train.py: trains, validates, tests."""
    _main("train", _train)


def translate() -> None:
    """translate.py: a Unix filter."""
    _main("translate", _translate)


def evaluate() -> None:
    """evaluate.py: scores a model or a translation."""
    _main("evaluate", _evaluate)


def tune() -> None:
    """tune.py: beam size and penalties that suit a validation set."""
    _main("tune", _tune)


def align() -> None:
    """align.py: word alignments of a model, and their error rate."""
    _main("align", _align)


def benchmark() -> None:
    """benchmark.py: speed and memory."""
    _main("benchmark", _benchmark)


def compare() -> None:
    """compare.py: several trainings, or finished runs, in one table."""
    _main("compare", _compare)


def plot() -> None:
    """plot.py: curves of trainings, and maps of attention."""
    _main("plot", _plot)


def report() -> None:
    """report.py: a run as one HTML page."""
    _main("report", _report)


def prepare_data() -> None:
    """prepare_data.py: fetches a public corpus; with the word `check`, looks for faults in parallel text."""
    if "check" in sys.argv[1:]:
        sys.argv.remove("check")
        _main("check_data", _check_data)
    else:
        _main("prepare_data", _prepare_data)


def compose(overrides: Iterable[str] = (), command: str = "train") -> Config:
    """The config that this command line stands for: `compose(["encoder=gru", "seed=2"])`.

    Raises:
        ConfigError: as on the command line.
    """
    try:
        return Config.from_dict(composition.composed(command, prepare(overrides, composition.groups(command))))
    except composition.FAULTS as error:
        raise ConfigError(composition.reworded(error)) from error


# The jobs import what works for them once their options are found right: neither --help nor a mistyped option waits for
# torch.


def _train(job: Job) -> str:
    config = _gone_on_with(job)
    if config.dry_run:
        with _importing():
            from seq2seq.training.plan import plan
        sys.stdout.write(plan(config))
        return ""
    with _importing():
        from seq2seq.training.train import train
    run = train(config)
    scores = run.results["test"] or {"valid": run.results["valid"]}
    return f"{run.folder}: " + ", ".join(f"{name} BLEU {score['bleu']:.2f}" for name, score in scores.items())


def _translate(job: Job) -> str:
    config = TranslateConfig.from_dict(job.plain)
    with _importing():
        from seq2seq.evaluation.filter import translate
    translate(config)
    return ""


def _evaluate(job: Job) -> str:
    from seq2seq.evaluation.evaluate import EvaluateConfig, evaluate, show

    sys.stdout.write(show(evaluate(EvaluateConfig.from_dict(job.plain))))
    return ""


def _tune(job: Job) -> str:
    from seq2seq.evaluation.tuning import TuneConfig, show, tune

    options = TuneConfig.from_dict(job.plain)
    sys.stdout.write(show(tune(options), options.rows))
    return ""


def _align(job: Job) -> str:
    from seq2seq.alignment.align import AlignConfig, align, show

    scores = align(AlignConfig.from_dict(job.plain))
    if scores is not None:
        sys.stdout.write(show(scores))
    return ""


def _benchmark(job: Job) -> str:
    from seq2seq.benchmark.options import BenchmarkConfig

    options = BenchmarkConfig.from_dict(job.plain)
    from seq2seq.benchmark.run import benchmark, show

    sys.stdout.write(show(benchmark(options)))
    return ""


def _compare(job: Job) -> str:
    from seq2seq.comparison.options import CompareConfig

    options = CompareConfig.from_dict(job.plain)
    from seq2seq.comparison.compare import compare

    sys.stdout.write(compare(options, lambda line: compose(shlex.split(line))).text())
    return ""


def _plot(job: Job) -> str:
    from seq2seq.plotting.options import PlotConfig

    options = PlotConfig.from_dict(job.plain)
    from seq2seq.plotting.plot import plot

    sys.stdout.write(f"{plot(options)}\n")
    return ""


def _report(job: Job) -> str:
    from seq2seq.report.options import ReportConfig

    options = ReportConfig.from_dict(job.plain)
    from seq2seq.report.report import report

    sys.stdout.write(f"{report(options)}\n")
    return ""


def _prepare_data(job: Job) -> str:
    from seq2seq.preparation.options import PrepareConfig

    options = PrepareConfig.from_dict(job.plain)
    from seq2seq.preparation.prepare import prepare_corpus, show

    sys.stdout.write(show(prepare_corpus(options)))
    return ""


def _check_data(job: Job) -> str:
    from seq2seq.preparation.options import CheckConfig

    options = CheckConfig.from_dict(job.plain)
    from seq2seq.preparation.check import check
    from seq2seq.preparation.listing import show

    sys.stdout.write(show(check(options)))
    return ""


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """Without looking for garbage again and again: what importing torch makes stays."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _gone_on_with(job: Job) -> Config:
    """Where `resume=auto` finds a run and the command line names no component, the run's own config with its changes.

    So `run=FOLDER resume=auto` is enough, and so is the command line that began the run.
    """
    from seq2seq.runs import RunFolder
    from seq2seq.training.resume import amended

    run = job.plain.get("run")
    if job.plain.get("resume") != "auto" or not isinstance(run, str) or not RunFolder(Path(run)).exists:
        return Config.from_dict(job.plain)
    # data=files comes with data.train=PREFIX and the like, which alone choose no component
    keys = composition.keys(word for word in job.words if word != "data=files")
    if set(keys) & set(composition.groups("train")):
        return Config.from_dict(job.plain)
    return amended(RunFolder.open(Path(run)).read_config(), job.plain, [*keys, "run"])


def _main(command: str, work: Callable[[Job], str]) -> None:
    """Does the `work` of a command line; every error that a user can mend ends here, with exit code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands its errors on instead of printing and exiting
    atexit.register(gc.freeze)  # else the end of Python looks for garbage in all of torch, for nearly half a second
    log_to_terminal()
    sweep = Sweep()
    try:
        if command != "train" and {"-m", "--multirun"} & set(sys.argv):
            raise ConfigError("only train.py can sweep (-m)")
        words = prepare(sys.argv[1:], composition.groups(command))
        sweep.keys = composition.swept(words)
        composition.run(command, words, lambda job: sweep.run(work, job))
    except composition.FAULTS as error:
        _fail(composition.reworded(error))
    except Seq2SeqError as error:
        _fail(sweep.summary() or str(error))
    except Interrupted as error:  # training has said so, and how to go on
        sys.exit(128 + error.signal)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has gone: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    if sweep.lines:
        LOGGER.info("%s", sweep.summary())


class Sweep:
    """The jobs of `-m`, of which one that fails says so and lets the others run; or the only job there is."""

    def __init__(self) -> None:
        self.keys: set[str] = set()  # the options that are swept over
        self.lines: list[str] = []

    def run(self, work: Callable[[Job], str], job: Job) -> None:
        if job.sweep is None:
            work(job)
            return
        number, parent = job.sweep
        if job.plain.get("resume") == "auto" and job.plain.get("run") is None:
            raise ConfigError(NO_FOLDER)
        words = [word.lstrip("+") for word in job.words]
        name = ",".join(word for word in words if word.partition("=")[0] in self.keys).replace("/", "_")
        if not 0 < len(name) < 150:
            name = f"job {number}"
        LOGGER.info("sweep, job %s: %s", number, name)
        try:
            self.lines.append(work(job._replace(plain={**job.plain, "run": str(parent / name)})))
        except Seq2SeqError as error:
            self.lines.append(f"{name}: failed: {error}")
            LOGGER.error("%s", error)
            raise

    def summary(self) -> str:
        return "\n".join(["sweep:", *self.lines]) if self.lines else ""


def _fail(message: str) -> None:
    lines = message.splitlines()
    with contextlib.suppress(OSError, AttributeError):  # nobody reads it
        sys.stderr.write("".join(f"error: {line}\n" if i == 0 else f"       {line}\n" for i, line in enumerate(lines)))
    sys.exit(1)
