"""Odd values of every flag of every model, and damaged files: refused in one line, never taken for another thing."""

import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from worldkv_jax.cli.main import main
from worldkv_jax.entry_points import find_entries
from worldkv_jax.sessions.memory_options import MemoryOptions
from worldkv_jax.sessions.options import described_fields, field_types
from worldkv_jax.sessions.registry import GROUP, model_options

BASES = {
    "demo-world": ["--trajectory", "L60"],
    "inspatio-world": ["--tiny", "--scene", "builtin", "--size", "32x48", "--frames", "21"],
    "lingbot-world-fast": ["--tiny", "--trajectory", "L60"],
    "matrix-game-2": ["--tiny", "--actions", "W2"],
}
"""A command line of each model that is right."""
NUMBERS = st.one_of(
    st.sampled_from(["0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e400", "1_0", "٣", "0x10", "--", ""]),
    st.integers(-(10**30), 10**30).map(str),
    st.floats().map(repr),
)
NOT_FINITE = ("nan", "inf", "1e400")
WORDS = st.one_of(
    st.sampled_from(["", " ", "-", ".", "/", "~", "~nobody/x", "a.txt", "a.npy", "a.npz", "\0", "\ud800", "é" * 300]),
    st.sampled_from(
        ["random:", "random:9" + "9" * 30, "W0", "W999999999999", "L" * 5000, "R1e9", "Lnan", "99999x99999"]
    ),
    st.text(max_size=20),
)


def words_of_a_flag(model):
    """Draw one flag of a model or of the memory, with a value that is odd for it."""
    flags = []
    for cls in (model_options(model), MemoryOptions):
        types = field_types(cls)
        for field, described in described_fields(cls):
            name = described.flag or "--" + field.name.replace("_", "-")
            kind = types[field.name].of
            if kind is bool:
                flags.append(st.just([name]))
            elif kind in (int, float):
                flags.append(NUMBERS.map(lambda value, name=name: [f"{name}={value}"]))
            else:
                choices = described.choices or types[field.name].choices
                known = st.sampled_from(choices) if choices else st.nothing()
                flags.append(st.one_of(known, WORDS).map(lambda value, name=name: [f"{name}={value}"]))
    return st.one_of(flags)


def said(*words):
    """Run a command; return its exit code and what it said, output and errors together."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # NumPy's of numbers that are none
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
    return code, text.getvalue()


def test_every_model_has_a_base():
    assert BASES.keys() == find_entries(GROUP).keys()


@pytest.mark.long
@pytest.mark.parametrize("model", BASES)
def test_odd_values_of_any_flags(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @settings(max_examples=40, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(st.lists(words_of_a_flag(model), min_size=1, max_size=2))
    def check(drawn):
        code, text = said("plan", model, *BASES[model], *(word for words in drawn for word in words))
        assert code in (0, 2)
        assert code == 0 or "error: " in text
        not_finite = [flag for (flag,) in drawn if flag.partition("=")[2].strip("-") in NOT_FINITE]
        assert code == 2 or not not_finite, text

    check()


def damaged(data, share, kind):
    """Damage a file: cut it, blank its rest, or leave nothing of it."""
    cut = int(share * len(data))
    return {"cut": data[:cut], "blank": data[:cut] + bytes(len(data) - cut), "text": b"not what was meant"}[kind]


SHARES, KINDS = st.floats(0, 0.9), st.sampled_from(["cut", "blank", "text"])


@pytest.mark.parametrize(
    ("model", "flag", "name"),
    [
        ("lingbot-world-fast", "--image", "p.png"),
        ("lingbot-world-fast", "--image", "p.jpg"),
        ("matrix-game-2", "--image", "p.webp"),
        ("lingbot-world-fast", "--trajectory", "poses.npy"),
        ("lingbot-world-fast", "--prompt", "p.npy"),
        ("inspatio-world", "--prompt", "p.npy"),
        ("matrix-game-2", "--actions", "a.npz"),
        ("demo-world", "--checkpoint", "w.safetensors"),
    ],
)
def test_damaged_files_are_refused_by_name(model, flag, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    if name.startswith("p.") and not name.endswith("npy"):
        Image.fromarray(draw.integers(0, 255, (48, 64, 3), np.uint8)).save(name)
    elif name.endswith("npz"):
        np.savez(name, keyboard=np.zeros((21, 4), np.float32), mouse=np.zeros((21, 2), np.float32))
    elif name.endswith("npy"):
        np.save(name, np.tile(np.eye(4), (21, 1, 1)))
    else:
        (tmp_path / name).write_bytes(bytes(1000))
    whole = (tmp_path / name).read_bytes()

    @settings(max_examples=10, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(SHARES, KINDS)
    def check(share, kind):
        data = damaged(whole, share, kind)
        if data == whole:
            return
        (tmp_path / name).write_bytes(data)
        code, text = said("plan", model, *BASES[model], flag, name)
        # A lossy picture whose rest is blank may still be one.
        assert code == 2 or (code == 0 and kind == "blank" and "image" in flag), text
        assert code == 0 or name in text, text

    check()
