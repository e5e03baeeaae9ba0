"""What users can cause is said in one line; signals keep what was made; a pipe that nobody reads is no error."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldkv_jax.cli.errors import out_of_memory, user_message
from worldkv_jax.cli.main import main
from worldkv_jax.media import read_video

ROOT = Path(__file__).parents[2]
RUN = (
    # Interrupts are ignored by a shell's background jobs, where tests may run.
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from worldkv_jax.cli.main import program; program()"
)


def environment(**changes):
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes\nmore"),
            "out of memory: RESOURCE_EXHAUSTED",
        ),
        (RuntimeError("Unable to initialize backend 'cuda': no"), "unset JAX_PLATFORMS"),
        (RuntimeError("Could not determine home directory."), "has no home folder; set HOME"),
        (MemoryError(), "MemoryError"),
        (OverflowError("int too large"), "int too large"),
        (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth"),
        (RuntimeError("a defect"), None),
        (TypeError("a defect"), None),
        (AssertionError(), None),
    ],
)
def test_kinds_of_errors(error, says):
    got = user_message(error)
    assert got is None if says is None else says in got
    assert "\n" not in (got or "")


def test_too_little_memory_is_told_from_other_errors():
    assert out_of_memory(MemoryError()) and out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: x"))
    assert not out_of_memory(RuntimeError("x")) and not out_of_memory(ValueError("RESOURCE_EXHAUSTED"))


@pytest.mark.parametrize("seed", ["-1", "18446744073709551616", "x"])
def test_seeds_out_of_range_are_refused_at_once(seed, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["rollout", "demo-world", f"--seed={seed}"])
    assert "no whole number from 0 to 2**64 - 1" in capsys.readouterr().err


@pytest.mark.parametrize("platform", ["nowhere", pytest.param("cuda", marks=pytest.mark.long)])
def test_a_device_that_is_not_there_is_one_line(platform, tmp_path):
    if platform == "cuda" and any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("there is such a device here")
    command = [sys.executable, "-c", RUN, "rollout", "demo-world", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(JAX_PLATFORMS=platform), timeout=300)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "unset JAX_PLATFORMS" in done.stderr


def test_a_closed_pipe_is_quiet():
    code = f"{sys.executable} -c '{RUN}' plan demo-world | head -c 1"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, env=environment(), timeout=300)
    assert done.stderr == "", done.stderr


def test_a_folder_that_hides_a_package_of_ours_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/__init__.py").touch()
    command = [sys.executable, "-c", RUN, "inspect", "x"]
    settings = environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    done = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=tmp_path, timeout=300)
    assert done.returncode == 2
    assert f"{tmp_path}/checkpoints hides the package 'checkpoints'" in done.stderr


@pytest.mark.long
def test_an_interrupt_while_it_compiles_ends_with_its_code(tmp_path):
    """JAX that was stopped there crashes when Python clears its modules away, and the code was that of a crash."""
    words = ["rollout", "demo-world", "--no-compile-cache", "--out", str(tmp_path / "out")]
    settings = environment(XLA_FLAGS="", JAX_ENABLE_COMPILATION_CACHE="false")
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=settings
    ) as child:
        said = b""
        while b"compiling the chunk step" not in said:
            more = os.read(child.stderr.fileno(), 4096)
            assert more, said
            said += more
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        said += child.communicate(timeout=60)[1]
    assert child.returncode == 130 and said.endswith(b"interrupted\n"), said


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_rollout_that_is_stopped_leaves_what_it_made(number, tmp_path):
    """Asked to end in the middle of a long rollout: playable, reported, nothing else left."""
    long = ["rollout", "demo-world", "--trajectory", "R360_" * 40 + "L90", "--memory", "sliding"]
    command = [sys.executable, "-c", RUN, *long, "--latents", "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment()
    ) as child:
        while not any(path.stat().st_size > 1000 for path in tmp_path.glob("out/*.mp4")):
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.05)
        child.send_signal(number)
        said = child.communicate(timeout=300)[1]
    assert child.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], said
    report = json.loads((tmp_path / "out/report.json").read_text())
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["latents_cut.npy", "report.json", "video_cut.mp4"]
    frames, _ = read_video(tmp_path / "out/video_cut.mp4")
    chunks = len(report["chunks"])
    # A chunk is reported when all of it is kept: it may be stopped between its frames and its row.
    assert report["cut"] and 0 < 3 * chunks <= len(frames) <= 3 * (chunks + 1)
    assert f"cut after {chunks} chunks" in said
