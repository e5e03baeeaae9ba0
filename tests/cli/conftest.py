"""A third-party package with commands, installed for the tests only."""

import sys

import pytest

COMMAND = '''
"""A command."""

import {imports}

HELP = "say a word, at 100 % volume"

def add_arguments(parser):
    parser.add_argument("word")
    parser.add_argument("--times", type=int, default=1)

def run(args):
    if args.word == "value": raise ValueError("the value is wrong; give another")
    if args.word == "missing": open("/nowhere/file")
    if args.word == "folder": raise PermissionError("cannot write results; choose another folder")
    if args.word == "empty": raise ValueError
    if args.word == "interrupt": raise KeyboardInterrupt
    if args.word == "defect": raise RuntimeError("a defect")
    print(args.word * args.times)
'''

COMMANDS = ("shout", "heavy", "lost", "wrong")


@pytest.fixture
def plugin_folder(tmp_path):
    """A folder as pip would fill it: a package of commands, and metadata that names them."""
    package = tmp_path / "other_project"
    package.mkdir()
    # Whoever imports the package to learn about its commands is found out.
    (package / "__init__.py").write_text("import sys\nsys.modules['other_project_was_imported'] = sys\n")
    (package / "shout.py").write_text(COMMAND.format(imports="argparse"))
    (package / "heavy.py").write_text(COMMAND.format(imports="a_library_that_is_not_there"))
    (package / "wrong.py").write_text('"""No command."""\nHELP: str = "is missing its parts"\n')
    metadata = tmp_path / "other_project-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-project\nVersion: 1.0\n")
    lines = [f"{name} = other_project.{name}" for name in COMMANDS]
    (metadata / "entry_points.txt").write_text("[worldkv_jax.commands]\n" + "\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def plugin(plugin_folder, monkeypatch):
    """The same, importable in this process."""
    monkeypatch.syspath_prepend(plugin_folder)
    yield plugin_folder
    for name in [name for name in sys.modules if name.startswith("other_project")]:
        del sys.modules[name]
