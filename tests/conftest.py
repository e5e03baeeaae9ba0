"""Shared settings of all tests: eight CPU devices, strict dtypes and ranks, quick compilation, the goldens."""

import gc
import os
import sys
from importlib.metadata import version
from pathlib import Path

# Workers share what they compile, and the next run finds it.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax
import pytest
from hypothesis import settings

from worldkv_jax.heap import give_back

# What is imported and collected stays: the garbage collector need not look through it again and again.
gc.disable()
# A first call compiles and machines are busy: how long an example takes is no property of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# What a process may hold between two files; a file takes up to a gigabyte more.
MOST_BYTES, MOST_MAPPINGS = 2_000_000_000, 30_000
# Tracing makes many small objects that live on: looked through every 700 of them, they cost a fifteenth of the tests.
OBJECTS_BETWEEN_COLLECTIONS = 50_000
# Most of a run is compilation. What is computed stays the same; LLVM polishes it less. Newer XLA has no other emitters.
QUICK = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
QUICK += ["--xla_cpu_parallel_codegen_split_count=1"]  # programs are too small to be worth compiling in parts
QUICK += ["--xla_cpu_use_fusion_emitters=false"] if version("jaxlib").startswith("0.10.") else []


def pytest_configure(config):
    """Set how programs are compiled, before the first one is."""
    if not config.getoption("--optimized"):
        os.environ["XLA_FLAGS"] += " " + " ".join(QUICK)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Leave what is there after collection out of all that the collector looks through during the tests."""
    collected = yield
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    gc.enable()
    return collected


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give the files of a folder to one process: they share programs and fixtures, whose making is most of a run."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return Path(nodeid.partition("::")[0]).parent.as_posix()

    return ByFolder(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_addoption(parser):
    parser.addoption(
        "--goldens",
        type=Path,
        default=Path(__file__).parent / "goldens",
        help="folder with golden cases (NAME.json + NAME.safetensors), searched recursively",
    )
    parser.addoption(
        "--assets",
        type=Path,
        default=Path(__file__).parents[2] / "shared" / "assets",
        help="folder with real inputs; tests marked assets are skipped where there is none",
    )
    parser.addoption("--optimized", action="store_true", help="compile programs as users do, which takes twice as long")


def pytest_collection_modifyitems(config, items):
    leave_out = {}
    if not config.getoption("--optimized"):
        leave_out["optimized"] = "compares bits of programs that are compiled as users do: run with --optimized"
    if not config.getoption("--assets").is_dir():
        leave_out["assets"] = "no real inputs here: give their folder with --assets"
    for item in items:
        for mark in leave_out.keys() & item.keywords.keys():
            item.add_marker(pytest.mark.skip(reason=leave_out[mark]))


@pytest.fixture(scope="session")
def assets(request) -> Path:
    """The folder of real inputs, for tests that are marked so."""
    return request.config.getoption("--assets")


@pytest.fixture(autouse=True, scope="module")
def release_programs():
    """Let go of compiled programs after a file where they have become many; till then files share them."""
    yield
    if sys.platform != "linux":
        jax.clear_caches()
        return
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if resident > MOST_BYTES or Path("/proc/self/maps").read_text().count("\n") > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()
        give_back()
