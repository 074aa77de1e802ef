"""The arrows between the parts of the package: who may import whom, and who may know which library."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import seq2seq

PACKAGE = Path(seq2seq.__file__).parent
SCRIPTS = PACKAGE.parent / "scripts"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

BASE = {"errors", "schema", "options", "combinations", "config"}
FOLDER = {"files", "outputs", "manifest", "checkpoints", "runs"}
SERVICES = {"runtime", "progress", "processes"}
PARTS = {"search", "models", "models.build", "text", "data"}
# Each part and the parts that it may import, besides itself; a part is a folder, or a file at the root.
ALLOWED = {
    "errors": set(),
    "resources": set(),
    "arguments": {"errors"},
    "progress": set(),
    "tables": set(),
    "grid": set(),
    "processor": set(),
    "schema": {"errors"},
    "options": {"errors", "schema"},
    # Config by type alone: see test_what_is_known_by_type_alone
    "combinations": {"errors", "schema", "options", "config"},
    "config": {"errors", "schema", "options", "combinations"},
    "commands": BASE,
    "composition": BASE | {"resources"},
    "files": {"errors"},
    "outputs": {"errors", "files"},
    "locks": set(),
    "processes": {"errors"},
    "nested": {"errors"},
    "manifest": {"errors", "files"},
    "checkpoints": {"errors", "files", "manifest", "models", "nested"},
    "runs": {"errors", "config", "checkpoints", "files", "locks"},
    "runtime": {"errors", "config", "options", "processor"},
    "text": BASE,
    "data": BASE | {"text", "files", "locks", "processes", "progress"},
    "models": {"errors", "grid", "processor"},
    "models.build": {"errors", "config", "options", "schema", "models"},
    "search": {"grid"},
    "plotting.figures": {"errors", "files"},
    "evaluation": BASE | FOLDER | SERVICES | PARTS | {"plotting.figures", "commands", "tables"},
    "training": BASE | FOLDER | SERVICES | PARTS | {"evaluation"},
    "alignment": BASE | FOLDER | SERVICES | {"commands", "data", "evaluation"},
    "benchmark": BASE | FOLDER | SERVICES | PARTS | {"tables", "evaluation", "training"},
    "report": BASE | FOLDER | SERVICES | {"data", "evaluation"},
    "preparation": BASE | {"data", "files", "outputs", "progress", "text"},
    "plotting": BASE | FOLDER | SERVICES | {"commands", "data", "evaluation", "comparison", "plotting.figures"},
    "comparison": BASE | FOLDER | SERVICES | {"data", "tables", "evaluation", "training"},
}
# Libraries, and the only modules that may know each.
KNOWN_BY = {
    "hydra": {"seq2seq.composition"},
    "matplotlib": {f"seq2seq.plotting.figures.{name}" for name in ("curves", "fonts", "heatmap", "saving")},
    "omegaconf": {"seq2seq.composition"},
    "sacrebleu": {"seq2seq.evaluation.metrics"},
    "safetensors": {"seq2seq.checkpoints", "seq2seq.data.lexicon"},
    "sacremoses": {"seq2seq.preparation.moses"},
    "sentencepiece": {"seq2seq.text.tokenizer"},
    "tqdm": {"seq2seq.progress"},
}
# What costs no time to import: all that a mistyped option or --help needs.
WITHOUT_TORCH = BASE | {"commands", "composition", "resources", "arguments", "progress", "files", "outputs", "locks"}


@functools.cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@functools.cache
def imports(module: str) -> list[str]:
    """The full names of all modules that this one imports, inside functions too."""
    return list(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ([name for name in submodules if name in FILES] or [node.module])


def part(module: str) -> str:
    """seq2seq.models.build.parts -> models.build, which has a rule of its own; seq2seq.models.rnn -> models."""
    names = module.removeprefix("seq2seq.").split(".")
    inner = ".".join(names[:2])
    return inner if inner in ALLOWED else names[0]


def test_every_part_has_a_rule() -> None:
    assert {part(module) for module in FILES} == ALLOWED.keys() | {"seq2seq", "cli"}


@pytest.mark.parametrize("module", [module for module in FILES if module not in ("seq2seq", "seq2seq.cli")])
def test_arrows_point_one_way(module: str) -> None:
    own = part(module)
    used = {part(name) for name in imports(module) if name.partition(".")[0] == "seq2seq"}
    assert used - {own} - ALLOWED[own] == set()


def test_what_is_known_by_type_alone() -> None:
    """Config calls the combinations, which only name its type: no circle when they are imported."""
    at_once = [node.module for node in tree("seq2seq.combinations").body if isinstance(node, ast.ImportFrom)]
    assert "seq2seq.config" not in at_once
    assert "seq2seq.options.search" in at_once


def test_only_the_builders_join_models_and_config() -> None:
    config = {"seq2seq.config", "seq2seq.combinations", "seq2seq.schema"}
    knowing = {
        module
        for module in FILES
        if module.startswith("seq2seq.models")
        and any(name in config or part(name) == "options" for name in imports(module))
    }
    assert knowing
    assert {part(module) for module in knowing} == {"models.build"}


def test_each_group_of_options_stands_alone() -> None:
    """A file of options knows what several are made with, and no other group."""
    shared = {"seq2seq.options.base", "seq2seq.options.transformer"}
    for module in {module for module in FILES if module.startswith("seq2seq.options.")} - shared:
        used = {name for name in imports(module) if part(name) == "options"}
        assert used <= shared, module


def test_nothing_imports_the_command_line() -> None:
    assert [module for module in FILES if "seq2seq.cli" in imports(module)] == ["seq2seq"]


def test_the_package_itself_imports_nothing_before_it_is_asked() -> None:
    at_once = [node for node in tree("seq2seq").body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all("seq2seq" not in ast.unparse(node) for node in at_once)


def test_all_that_the_package_offers_is_there() -> None:
    assert all(getattr(seq2seq, name).__name__ == name for name in seq2seq.__all__)
    with pytest.raises(AttributeError, match="module 'seq2seq' has no attribute 'trian'"):
        _ = seq2seq.trian


@pytest.mark.parametrize("library", KNOWN_BY)
def test_each_library_is_known_in_one_place(library: str) -> None:
    knowing = {module for module in FILES if library in {name.partition(".")[0] for name in imports(module)}}
    assert knowing == KNOWN_BY[library]


def test_models_know_torch_and_nothing_else_from_outside() -> None:
    outside = {
        name.partition(".")[0]
        for module in FILES
        if module.startswith(("seq2seq.models", "seq2seq.search"))
        for name in imports(module)
    }
    assert outside - set(sys.stdlib_module_names) <= {"torch", "seq2seq"}


@pytest.mark.parametrize("module", [module for module in FILES if part(module) in WITHOUT_TORCH])
def test_the_quick_parts_know_no_torch(module: str) -> None:
    assert "torch" not in {name.partition(".")[0] for name in imports(module)}


@pytest.mark.parametrize("module", FILES)
def test_the_library_prints_nothing(module: str) -> None:
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    assert [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"] == []


def ran(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60)


MISTYPED = [
    ("train", "trainer.max_epoch=3", "trainer.max_epochs"),
    ("train", "attention=bahdanu", "bahdanau"),
    ("translate", "batch_siz=3", "batch_size"),
    ("evaluate", "referenc=x", "reference"),
    ("compare", "onyl=x", "only"),
    ("prepare_data", "recip=x", "recipe"),
    ("tune", "grid.beam_siz=[1]", "grid.beam_size"),
    ("align", "gold_bas=1", "gold_base"),
    ("plot", "unit=words", "units"),
    ("report", "sentence=5", "sentences"),
]
COMMANDS = sorted({"benchmark", *(command for command, _, _ in MISTYPED)})
# One process for all: each command in turn, its exit code, and what it has imported.
COMMANDS_IN_TURN = """
import contextlib, io, json, runpy, sys
import seq2seq
assert not {"torch", "hydra"} & sys.modules.keys()
for path, word in json.loads(sys.argv[1]):
    out, err, sys.argv = io.StringIO(), io.StringIO(), [path, word]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(path, run_name="__main__")
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
    print(json.dumps([code, out.getvalue(), err.getvalue(), "torch" in sys.modules]))
"""


def in_turn(lines: list[tuple[str, str]], folder: Path) -> list[tuple[int, str, str, bool]]:
    """What these commands, each with a word, leave: exit code, output, errors, and whether torch was imported."""
    scripts = json.dumps([(str(SCRIPTS / f"{command}.py"), word) for command, word in lines])
    program = [sys.executable, "-c", COMMANDS_IN_TURN, scripts]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(folder.iterdir()) == []
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_a_mistyped_option_does_not_wait_for_torch(tmp_path: Path) -> None:
    found = in_turn([(command, word) for command, word, _ in MISTYPED], tmp_path)
    for (command, word, meant), (code, out, err, torch) in zip(MISTYPED, found, strict=True):
        assert (code, out, torch) == (1, "", False), (command, word)
        assert f"did you mean {meant}?" in err


def test_help_does_not_wait_for_torch(tmp_path: Path) -> None:
    found = in_turn([(command, "--help") for command in COMMANDS], tmp_path)
    for command, (code, out, err, torch) in zip(COMMANDS, found, strict=True):
        assert (code, err, torch) == (0, "", False), command
        assert "key=value" in out


@pytest.mark.parametrize(
    "module",
    [
        "runs",
        "comparison.compare",
        "benchmark.options",
        "alignment.align",
        "evaluation.evaluate",
        "evaluation.metrics",
        "plotting.plot",
        "report.report",
        "evaluation.tuning",
        "training.resume",
    ],
)
def test_what_stands_before_the_work_waits_for_no_library(module: str, tmp_path: Path) -> None:
    """A run's config is read, and options are checked, without what only the work needs."""
    done = ran(f"import sys, seq2seq.{module}\nprint(sorted({{'torch', 'sacrebleu'}} & sys.modules.keys()))", tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")
