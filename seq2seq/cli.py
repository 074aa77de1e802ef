"""The commands: Hydra around the package's functions, and a user's errors in a few lines without a traceback."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.arguments import prepare
from seq2seq.combinations import NO_FOLDER
from seq2seq.config import Config, load_plugins
from seq2seq.errors import ConfigError, Interrupted, Seq2SeqError
from seq2seq.progress import log_to_terminal
from seq2seq.resources import shipped
from seq2seq.schema import COMPONENTS, did_you_mean

LOGGER = logging.getLogger("seq2seq")
WITH_COMPONENTS = ("train", "benchmark")  # the commands whose configs are made of groups


def train() -> None:
    """train.py: trains, validates, tests."""
    _main("train", _train)


def translate() -> None:
    """translate.py: a Unix filter."""
    _main("translate", _translate)


def evaluate() -> None:
    """evaluate.py: scores a model or a translation."""
    _main("evaluate", _evaluate)


def benchmark() -> None:
    """benchmark.py: speed and memory."""
    _main("benchmark", _benchmark)


def compare() -> None:
    """compare.py: several trainings in one table."""
    _main("compare", _compare)


def compose(overrides: Iterable[str] = (), command: str = "train") -> Config:
    """The config that this command line stands for: `compose(["encoder=gru", "seed=2"])`.

    Raises:
        ConfigError: as on the command line.
    """
    _setup()
    running = GlobalHydra.instance()
    outer, running.hydra = running.hydra, None  # two can't run at once, and compare.py composes inside a job
    try:
        with hydra.initialize_config_dir(str(shipped("configs")), version_base="1.3"):
            composed = hydra.compose(command, prepare(overrides, _groups(command)))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_reworded(error)) from error
    finally:
        running.hydra = outer
    return Config.from_dict(_plain(composed))


# The jobs import what they need when they run, so that --help and a mistyped option don't wait for torch.


def _train(plain: dict[str, Any]) -> str:
    from seq2seq.training.plan import plan
    from seq2seq.training.train import train

    config = _gone_on_with(plain)
    if config.dry_run:
        sys.stdout.write(plan(config))
        return ""
    run = train(config)
    scores = run.results["test"] or {"valid": run.results["valid"]}
    return f"{run.folder}: " + ", ".join(f"{name} BLEU {score['bleu']:.2f}" for name, score in scores.items())


def _translate(plain: dict[str, Any]) -> str:
    from seq2seq.evaluation.filter import TranslateConfig, translate

    translate(TranslateConfig.from_dict(plain))
    return ""


def _evaluate(plain: dict[str, Any]) -> str:
    from seq2seq.evaluation.evaluate import EvaluateConfig, evaluate, show

    sys.stdout.write(show(evaluate(EvaluateConfig.from_dict(plain))))
    return ""


def _benchmark(plain: dict[str, Any]) -> str:
    from seq2seq.benchmark import BenchmarkConfig, benchmark, show

    sys.stdout.write(show(benchmark(BenchmarkConfig.from_dict(plain))))
    return ""


def _compare(plain: dict[str, Any]) -> str:
    from seq2seq.comparison import CompareConfig, compare, show

    sys.stdout.write(show(compare(CompareConfig.from_dict(plain), lambda line: compose(shlex.split(line)))))
    return ""


def _gone_on_with(plain: dict[str, Any]) -> Config:
    """Where `resume=auto` finds a run and the command line names no component, the run's own config with its changes.

    So `run=FOLDER resume=auto` is enough, and so is the command line that began the run.
    """
    from seq2seq.runs import RunFolder
    from seq2seq.training.resume import amended

    run = plain.get("run")
    if plain.get("resume") != "auto" or not isinstance(run, str) or not RunFolder(Path(run)).exists:
        return Config.from_dict(plain)
    # data=files comes with data.train=PREFIX and the like, which alone choose no component
    words = [word for word in HydraConfig.get().overrides.task if "=" in word and word != "data=files"]
    keys = [override.key_or_group for override in OverridesParser.create().parse_overrides(words)]
    if set(keys) & set(_groups("train")):
        return Config.from_dict(plain)
    return amended(RunFolder.open(Path(run)).read_config(), plain, [*keys, "run"])


def _main(command: str, job: Callable[[dict[str, Any]], str]) -> None:
    """Runs `job` on the composed config; every error that a user can mend ends here, with exit code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands its errors on instead of printing and exiting
    log_to_terminal()
    sweep = Sweep()
    failures: list[BaseException] = []

    def task(config: DictConfig) -> None:
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                plain = _plain(config)
                if plain.get("resume") == "auto" and plain.get("run") is None:
                    raise ConfigError(NO_FOLDER)
                sweep.run(job, plain)
            else:
                job(_plain(config))
        except (Seq2SeqError, OmegaConfBaseException, BrokenPipeError) as error:
            failures.append(error)  # raised again below: what leaves a job, Hydra reports in its own words

    try:
        if command != "train" and {"-m", "--multirun"} & set(sys.argv):
            raise ConfigError("only train.py can sweep (-m)")
        _setup()
        folder = shipped("configs")
        if command not in WITH_COMPONENTS:
            _store(command)
            folder = folder / "hydra" / "options"  # without folders in it: Hydra takes their names for groups'
        sys.argv[1:] = prepare(sys.argv[1:], _groups(command))
        sweep.keys = _swept(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(folder), config_name=command)(task)()
        if failures:
            raise failures[0]
    except (HydraException, OmegaConfBaseException) as error:
        _fail(_reworded(error))
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
    """The jobs of `-m`: one that fails says so and lets the others run."""

    def __init__(self) -> None:
        self.keys: set[str] = set()  # the options that are swept over
        self.lines: list[str] = []

    def run(self, job: Callable[[dict[str, Any]], str], plain: dict[str, Any]) -> None:
        settings = HydraConfig.get()
        words = [word.lstrip("+") for word in settings.overrides.task]
        name = ",".join(word for word in words if word.partition("=")[0] in self.keys).replace("/", "_")
        if not 0 < len(name) < 150:
            name = f"job {settings.job.num}"
        parent = Path(settings.sweep.dir)
        LOGGER.info("sweep, job %s: %s", settings.job.num, name)
        try:
            self.lines.append(job({**plain, "run": str(parent / name)}))
        except Seq2SeqError as error:
            self.lines.append(f"{name}: failed: {error}")
            LOGGER.error("%s", error)
            raise

    def summary(self) -> str:
        return "\n".join(["sweep:", *self.lines]) if self.lines else ""


def _setup() -> None:
    """What composing needs: where shipped files are, and the components that plugins and scripts have registered."""
    OmegaConf.register_new_resolver("shipped", lambda name: str(shipped(name)), replace=True)
    OmegaConf.register_new_resolver(
        "sweep_folder", lambda run: run or time.strftime("runs/sweeps/%Y%m%d-%H%M%S"), use_cache=True, replace=True
    )
    load_plugins()
    for group, components in COMPONENTS.items():
        for name, options in components.items():
            if not (shipped("configs") / group / f"{name}.yaml").exists():
                ConfigStore.instance().store(group=group, name=name, node={**asdict(options()), "name": name})


def _store(command: str) -> None:
    """Gives Hydra this command's config without the folder it lies in.

    The folder's component groups would take names from options: `attention` of translate.py is true or false.
    """
    configs, store = shipped("configs"), ConfigStore.instance()
    store.store(name=command, node=OmegaConf.load(configs / f"{command}.yaml"))
    store.store(name=command, node=OmegaConf.load(configs / "hydra" / "help" / f"{command}.yaml"), group="hydra/help")
    for table in configs.glob("hydra/table/*.yaml"):
        store.store(name=table.stem, node=OmegaConf.load(table), group="table")


def _swept(words: Iterable[str]) -> set[str]:
    """The keys that have several values: `seed` of `seed=1,2`."""
    overrides = OverridesParser.create().parse_overrides([w for w in words if "=" in w and not w.startswith("-")])
    return {override.key_or_group for override in overrides if override.is_sweep_override()}


def _groups(command: str) -> list[str]:
    if command not in WITH_COMPONENTS:
        return ["hydra", "table"]
    return [path.name for path in shipped("configs").iterdir() if path.is_dir()]


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in ("hydra", "experiment")}


def _reworded(error: Exception) -> str:
    """Hydra's message as ours: a mistyped choice of a group gets a suggestion, the rest its first lines."""
    missing = getattr(error, "missing_cfg_file", None)
    options = getattr(error, "options", None)
    if missing and options:
        group, _, name = str(missing).rpartition("/")
        return f"unknown {group}={name}{did_you_mean(name, options)}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:3]) or type(error).__name__


def _fail(message: str) -> None:
    lines = message.splitlines()
    with contextlib.suppress(OSError, AttributeError):  # nobody reads it
        sys.stderr.write("".join(f"error: {line}\n" if i == 0 else f"       {line}\n" for i, line in enumerate(lines)))
    sys.exit(1)
