"""What is installed by which extra: who embeds the memory needs little, and what is missing says how to get it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from worldkv_jax.cli.errors import user_message
from worldkv_jax.extras import EXTRAS, advice

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMES = {"PIL": "pillow", "orbax": "orbax-checkpoint"}  # of distributions, where they are not those of the module


def distributions(requirements):
    """Names of the distributions that requirements ask for, those of other extras of ours included."""
    found = set()
    for requirement in requirements:
        name = requirement.split(">")[0].split("[")[0]
        if name != PROJECT["name"]:
            found.add(name)
            continue
        for extra in requirement.split("[")[1].rstrip("]").split(","):
            found |= distributions(PROJECT["optional-dependencies"][extra])
    return found


def test_every_extra_brings_what_it_is_said_to_bring():
    for module, extra in EXTRAS.items():
        brought = distributions(PROJECT["optional-dependencies"][extra])
        assert NAMES.get(module, module.replace("_", "-")) in brought, (module, extra)


def test_everything_is_all_that_needs_no_accelerator_and_no_torch():
    extras = {extra: distributions(needs) for extra, needs in PROJECT["optional-dependencies"].items()}
    for extra in extras.keys() - {"cuda", "torch", "text", "test", "docs", "dev"}:
        assert extras[extra] <= extras["all"], extra
    assert extras["all"] | extras["text"] <= extras["test"] <= extras["dev"]


def run(code, **options):
    """Run Python in a fresh process."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, **options)


BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {libraries}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
MINIMAL = """
import worldkv_jax.memory, worldkv_jax.rollout, worldkv_jax.cameras.formats, worldkv_jax.cli.main
import kernels_pallas.attention
for module in ("worldkv_jax.media", "worldkv_jax.evaluation", "worldkv_jax.environments", "ports.demo_world.weights"):
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        print(module, error)
"""


def test_the_memory_needs_no_extra_and_the_rest_says_which():
    ran = run(BLOCKED.format(libraries=set(EXTRAS) | {"chex"}) + MINIMAL)
    assert not ran.returncode, ran.stderr
    said = ran.stdout.splitlines()
    for line, extra in zip(said, ("media", "eval", "gym", "checkpoints"), strict=True):
        assert f"is not installed: pip install 'worldkv-jax[{extra}]'" in line


def test_the_command_line_says_which_extra():
    error = ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
    assert user_message(error) == (
        "No module named 'matplotlib': pip install 'worldkv-jax[media]', or [all] for everything"
    )
    assert advice(ModuleNotFoundError("No module named 'torch'", name="torch")) is None


def test_a_folder_that_hides_ours_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/__init__.py").touch()
    ran = run(
        "import ports.demo_world as demo; demo.DemoWorld.load()", cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    )
    assert f"{tmp_path / 'checkpoints'} hides the package 'checkpoints' of worldkv-jax" in ran.stderr
