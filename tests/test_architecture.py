"""The rules of the house: imports run one way, files are short, importing does no work."""

import ast
import functools
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 300

# What the files under a folder may import of our own packages; the most specific folder counts.
ALLOWED = {
    "kernels_pallas": {"kernels_pallas"},
    "worldkv_jax": {"worldkv_jax", "kernels_pallas"},
    "worldkv_jax/cli": {"worldkv_jax", "kernels_pallas", "checkpoints"},
    "checkpoints": {"checkpoints"},
    "ports": {"ports", "worldkv_jax", "kernels_pallas", "checkpoints"},
}
PACKAGES = {folder for folder in ALLOWED if "/" not in folder}
# Other libraries, where a folder is held to a list.
LIBRARIES = {
    "kernels_pallas": {"jax", "jaxlib", "jaxtyping", "numpy"},
    "checkpoints": {"google_crc32c", "jax", "jaxlib", "ml_dtypes", "numpy", "orbax", "safetensors", "tensorstore"},
}

# What alone may run PyTorch: the comparison with it, which nothing imports but by its entry points.
PEERS = ROOT / "ports" / "peers"

# What whoever is opened from Python may not know: the command line is the shadow of these.
WITHOUT_COMMAND_LINE = ("ports", "worldkv_jax/sessions", "worldkv_jax/rollout", "worldkv_jax/memory")

FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Parse a file, once for all rules."""
    return ast.parse(path.read_text())


def offenders(find: Callable[[Path], Any]) -> dict[str, Any]:
    """Return what is wrong with each file that has something wrong."""
    return {str(path.relative_to(ROOT)): found for path in FILES if (found := find(path))}


def imports(tree: ast.AST) -> set[str]:
    """Return the top-level names of all imports, those inside functions included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names |= {str(word.value).split(".")[0] for word in node.args[:1] if isinstance(word, ast.Constant)}
    return names


def modules(tree: ast.AST, known: Container[str] = ()) -> set[str]:
    """Return the full names of all modules that are imported; ``known`` tells those that are taken from a package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in inner.values()}
    return names


def rule(rules: dict[str, set[str]], path: Path) -> set[str] | None:
    """Return the rule of the innermost folder that has one."""
    for folder in path.relative_to(ROOT).parents:
        if folder.as_posix() in rules:
            return rules[folder.as_posix()]
    return None


def test_there_is_something_to_check():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == PACKAGES


def test_imports_run_one_way():
    wrong = offenders(lambda path: (imports(parsed(path)) & PACKAGES) - rule(ALLOWED, path))
    assert not wrong, f"these files may not import these packages: {wrong}"


@pytest.mark.parametrize("folder", WITHOUT_COMMAND_LINE)
def test_models_and_sessions_know_no_command_line(folder):
    for path in (ROOT / folder).rglob("*.py"):
        check_knows_no_command_line(path)


def check_knows_no_command_line(path):
    text = path.read_text()
    assert "argparse" not in imports(parsed(path)), f"{path} imports argparse"
    command_line = {name for name in modules(parsed(path)) if name.startswith("worldkv_jax.cli")}
    assert not command_line, f"{path} imports {command_line}"
    assert "args." not in text, f"{path} reads a namespace"


def test_no_modules_import_each_other():
    """Types alone do not count, nor what a function imports when it runs."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    graph = {}
    for name, path in names.items():
        top = [node for node in parsed(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
        graph[name] = set().union(*(modules(node, names) for node in top)) & names.keys() - {name}
    while free := {name for name, needs in graph.items() if not needs & graph.keys()}:
        graph = {name: needs for name, needs in graph.items() if name not in free}
    assert not graph, f"these import each other, or what does: {sorted(graph)}"


def test_libraries():
    def others(path):
        names, libraries = imports(parsed(path)), rule(LIBRARIES, path)
        if libraries is None:
            return names & {"torch"} if path.parent != PEERS else set()
        return names - libraries - PACKAGES - sys.stdlib_module_names

    wrong = offenders(others)
    assert not wrong, f"these files may not import these libraries: {wrong}"


def test_nothing_imports_what_runs_pytorch():
    """But the files beside it."""

    def peers(path):
        return path.parent != PEERS and {name for name in modules(parsed(path)) if name.startswith("ports.peers")}

    assert not offenders(peers)


def test_files_are_short():
    wrong = offenders(lambda path: max(0, path.read_text().count("\n") - MAX_LINES))
    assert not wrong, f"these files have so many lines more than {MAX_LINES}; split them: {wrong}"


def test_files_say_what_they_are():
    """An empty ``__init__.py`` only marks a package."""
    wrong = offenders(lambda path: parsed(path).body and not ast.get_docstring(parsed(path)))
    assert not wrong, f"these files do not start with a docstring: {[*wrong]}"


def test_no_global_settings_of_jax():
    """A library may not; the command line is a program, and has one place where it does."""

    def settings(path):
        calls = (ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call))
        return {name for name in calls if name.endswith("config.update") and "jax" in name}

    wrong = offenders(settings)
    assert [*wrong] == ["worldkv_jax/cli/compile_cache.py"], f"these files set jax.config: {wrong}"


def test_the_check_sees_lazy_and_dynamic_imports():
    code = "import a.b\ndef f():\n    from c.d import e\n    importlib.import_module('g.h')\n    from . import i"
    assert imports(ast.parse(code)) == {"a", "c", "g"}
    assert rule(ALLOWED, ROOT / "worldkv_jax/cli/main.py") == {"worldkv_jax", "kernels_pallas", "checkpoints"}
    assert rule(ALLOWED, ROOT / "worldkv_jax/media/video.py") == {"worldkv_jax", "kernels_pallas"}
