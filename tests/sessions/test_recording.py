"""What a rollout leaves behind: whole, or cut by whatever ends it."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from worldkv_jax import open_model
from worldkv_jax.media import read_video
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.sessions.recording import WRITES, recording
from worldkv_jax.sessions.results import prepare_output
from worldkv_jax.sessions.seeds import key_of


@pytest.fixture(scope="module")
def session():
    return open_model("demo-world", trajectory="R60").check(MemoryConfig(mode="sliding")).load()


@pytest.fixture(scope="module")
def chunks(session):
    return list(session.stream(session.start(), seed=0))


def test_a_whole_rollout(session, chunks, tmp_path):
    with recording(session, tmp_path, {"seed": 0}, latents=True) as record:
        for chunk in chunks:
            record(chunk)
    assert sorted(path.name for path in record.files) == ["latents.npy", "report.json", "video.mp4"]
    assert sorted(tmp_path.iterdir()) == sorted(record.files)
    assert json.loads((tmp_path / "report.json").read_text())["cut"] is None
    assert len(read_video(tmp_path / "video.mp4")[0]) == 3 * len(chunks)


@pytest.mark.parametrize(
    "ends", [KeyboardInterrupt(), OSError(28, "No space left on device"), ValueError("late\nmore")]
)
def test_what_was_made_is_kept_whatever_ends_it(session, chunks, tmp_path, ends):
    with pytest.raises(type(ends)), recording(session, tmp_path, {}, latents=True) as record:
        for chunk in chunks[:2]:
            record(chunk)
        raise ends
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latents_cut.npy", "report.json", "video_cut.mp4"]
    assert len(read_video(tmp_path / "video_cut.mp4")[0]) == 6
    np.testing.assert_array_equal(np.load(tmp_path / "latents_cut.npy")[:, :3], chunks[0].latents)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["cut"].startswith(type(ends).__name__) and len(report["chunks"]) == 2 and "more" not in report["cut"]


def test_random_weights_are_in_every_name(session, chunks, tmp_path):
    with recording(dataclasses.replace(session, random_weights=True), tmp_path, {}, latents=True) as record:
        record(chunks[0])
    names = [f"random_weights_{name}" for name in ("latents.npy", "report.json", "video.mp4")]
    assert sorted(path.name for path in record.files) == names
    assert json.loads((tmp_path / names[1]).read_text())["weights"] == "random"


def test_nothing_is_left_of_nothing(session, tmp_path):
    with pytest.raises(ValueError, match="no chunk was made"), recording(session, tmp_path, {}):
        pass
    assert not list(tmp_path.iterdir())


def test_latents_that_are_not_finite_are_said(session, chunks, tmp_path):
    broken = chunks[1].__class__(**vars(chunks[1]) | {"latents": np.full_like(chunks[1].latents, np.nan)})
    with (
        pytest.raises(ValueError, match="latents of chunk 1 have numbers that are not finite"),
        recording(session, tmp_path, {}, latents=True) as record,
    ):
        record(chunks[0])
        record(broken)
    assert np.isfinite(np.load(tmp_path / "latents_cut.npy")).all()


def test_an_earlier_result_is_not_written_over(tmp_path, capsys):
    first = prepare_output(tmp_path / "made", writes=WRITES)
    assert prepare_output(tmp_path / "made", writes=WRITES) == first
    (first / "report.json").touch()
    second = prepare_output(tmp_path / "made", writes=WRITES)
    (second / "random_weights_video.mp4").touch()
    third = prepare_output(tmp_path / "made", writes=WRITES)
    assert (second.name, third.name) == ("made-2", "made-3")
    assert "holds an earlier result; writing to" in capsys.readouterr().err
    assert prepare_output(tmp_path / "made", writes=WRITES, force=True) == first


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_small_seeds_are_those_of_jax(seed):
    assert (jax.random.key_data(key_of(seed)) == jax.random.key_data(jax.random.key(seed))).all()


def test_large_seeds_are_worlds_of_their_own_under_any_setting():
    assert jax.random.key_data(key_of(2**64 - 1)).tolist() == [2**32 - 1] * 2
    with jax.enable_x64(True):
        assert (jax.random.key_data(key_of(2**40 + 5)) == jax.random.key_data(jax.random.key(2**40 + 5))).all()
    for seed in (-1, 2**64, 1.5, True):
        with pytest.raises(ValueError, match="whole number from 0 to"):
            key_of(seed)
