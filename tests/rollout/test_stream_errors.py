"""What a rollout refuses, before it has made anything."""

import jax
import numpy as np
import pytest

from tests.memory.walks import poses, worldkv
from tests.rollout.tiny_backbone import BlindBackbone
from tests.rollout.worlds import BACKBONE, LENGTH, PARAMS, noise, run, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro
from worldkv_jax.cameras import relative

SPEC = BACKBONE.spec


def path(frames: int) -> np.ndarray:
    return poses(-(-frames // 3))[:, 0].reshape(-1, 4, 4)[:frames]


def broken(frames=6, frame=4, **change) -> np.ndarray:
    out = path(frames).copy()
    if "entry" in change:
        out[frame, 1, 3] = change["entry"]
    if "scale" in change:
        out[frame, :3, :3] *= change["scale"]
    return out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (path(2), r"2 latent frames is shorter than one chunk; give at least 3"),
        (path(7), r"7 latent frames do not fill chunks of 3; cut the trajectory to 6 or hold the last pose up to 9"),
        (broken(entry=np.nan), r"poses of world 0\[4\]: entry \(1, 3\) is nan, expected finite"),
        (broken(entry=np.inf), r"entry \(1, 3\) is inf"),
        (broken(scale=1.1), r"poses of world 0\[4\]: rotation is not orthonormal"),
        (broken(scale=-1.0), r"poses of world 0\[4\]: determinant is -1"),
        (path(6)[:, :3], r"got shape \(6, 3, 4\)"),
        (path(6)[0], r"poses have shape \(4, 4\); expected \[n, 4, 4\] or \[worlds, n, 4, 4\]"),
        (path(6)[None][:0], r"poses have shape \(0, 6, 4, 4\)"),
    ],
)
def test_paths_that_cannot_be_cut_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        ro.chunk_inputs(given, SPEC)


def test_conditions_are_one_a_chunk():
    with pytest.raises(ValueError, match="conditions for 3 chunks, but the trajectory has 2"):
        ro.chunk_inputs(path(6), SPEC, conditions=[1, 2, 3])
    cut = ro.chunk_inputs(np.stack([path(6), path(6)]), SPEC, conditions=["a", "b"])
    assert [c.conditions for c in cut] == ["a", "b"] and cut[0].cameras.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(cut[1].cameras[0], relative(path(6)[0], path(6)[3:]), atol=1e-6)


@pytest.mark.parametrize("live", [False, True])
def test_live_cameras_are_checked_too(live):
    good = views(3)
    bad = ro.ChunkInput(good[2].cameras.at[0, 1, 0, 3].set(np.nan))
    world = ro.start(BACKBONE, PARAMS, worldkv(), chunks=LENGTH)
    inputs = [good[0], good[1], bad]
    made = ro.stream(BACKBONE, PARAMS, world, iter(inputs) if live else inputs, noise=noise, decode=False)
    for _ in range(2 if live else 0):  # a list is refused as a whole, before anything is made
        next(made)
    with pytest.raises(ValueError, match=r"cameras of chunk 2, world 0\[1\]: entry \(0, 3\) is nan"):
        next(made)


def test_cameras_of_another_shape_are_refused():
    world = ro.start(BACKBONE, PARAMS, worldkv(), chunks=LENGTH, worlds=2)
    with pytest.raises(ValueError, match=r"cameras of chunk 0 have shape \(1, 3, 4, 4\), expected \(2, 3, 4, 4\)"):
        ro.rollout(BACKBONE, PARAMS, world, views(1), noise=noise)


def test_one_chunk_instead_of_a_list_is_refused():
    world = ro.start(BACKBONE, PARAMS, worldkv(), chunks=LENGTH)
    with pytest.raises(ValueError, match="got one ChunkInput; give a list"):
        ro.rollout(BACKBONE, PARAMS, world, views(1)[0], noise=noise)
    with pytest.raises(ValueError, match=r"chunk 0 is a .*, expected a ChunkInput: chunk_inputs"):
        ro.rollout(BACKBONE, PARAMS, world, [views(1)[0].cameras], noise=noise)


def test_a_world_that_is_consumed_is_named():
    world = ro.start(BACKBONE, PARAMS, worldkv(), chunks=5)
    chunks, after = ro.rollout(BACKBONE, PARAMS, world, views(1), noise=noise, decode=False)
    for again in (
        lambda: ro.rollout(BACKBONE, PARAMS, world, views(1), noise=noise),
        lambda: ro.observe(BACKBONE, PARAMS, world, views(1), [chunks[0].latents]),
    ):
        with pytest.raises(ValueError, match=r"a step consumed them. .* go on with what the rollout returned"):
            again()
    assert int(after.position) == 1


@pytest.mark.parametrize("config", [worldkv(capacity=3), wm.MemoryConfig(mode="full")])
@pytest.mark.parametrize("live", [False, True])
def test_a_full_memory_is_said_before_the_chunk_is_made(config, live):
    world = ro.start(BACKBONE, PARAMS, config, chunks=4)
    inputs = views(6)
    made = ro.stream(BACKBONE, PARAMS, world, iter(inputs) if live else inputs, noise=noise, decode=False)
    for _ in range(4 if live else 0):
        next(made)
    with pytest.raises(ValueError, match="chunk 4 needs a place"):
        next(made)


@pytest.mark.parametrize("options", [{}, {"key": 0, "noise": noise}])
def test_exactly_one_thing_decides_the_noise(options):
    world = ro.start(BACKBONE, PARAMS, worldkv(), chunks=LENGTH)
    with pytest.raises(ValueError, match="give either key or noise"):
        ro.rollout(BACKBONE, PARAMS, world, views(1), **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"key": 0}, r"key is 0; give one typed key, such as jax.random.key\(0\)"),
        ({"key": jax.random.split(jax.random.key(0))}, "give one typed key"),
        ({"noise": noise(0)}, "noise is a ndarray; give a function from a chunk's number to its noise"),
    ],
)
def test_wrong_keys_and_noise_are_said_in_words(options, says):
    world = ro.start(BACKBONE, PARAMS, worldkv(), chunks=LENGTH)
    with pytest.raises(ValueError, match=says):
        ro.rollout(BACKBONE, PARAMS, world, views(1), **options)


def test_noise_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"noise has shape \(3, 1, 3, 4, 5\), expected \(2, 1, 3, 4, 5\): \[steps"):
        run(worldkv(), 4, noise=lambda i: noise(i, steps=3))


def test_observed_chunks_must_fit():
    world = ro.start(BACKBONE, PARAMS, worldkv(capacity=3), chunks=9)
    with pytest.raises(ValueError, match="2 chunks of cameras but 1 of latents"):
        ro.observe(BACKBONE, PARAMS, world, views(2), [noise(0)[0]])
    with pytest.raises(ValueError, match=r"latents have shape \(2, 1, 3, 4, 5\), expected \(1, 3, 4, 5\)"):
        ro.observe(BACKBONE, PARAMS, world, views(1), [noise(0)])
    with pytest.raises(ValueError, match="chunk 4 needs a place"):
        ro.observe(BACKBONE, PARAMS, world, views(5), [noise(0)[0]] * 5)


def test_retrieval_by_attention_needs_a_backbone_that_can():
    with pytest.raises(ValueError, match=r"BlindBackbone has no `attention_queries` method, .* such as 'camera'"):
        run(worldkv(rule="attention"), 4, backbone=BlindBackbone())


def test_the_tiny_backbone_is_what_a_backbone_must_be():
    assert isinstance(BACKBONE, ro.Backbone) and isinstance(BACKBONE, ro.AttentionProbe)
    assert not isinstance(BlindBackbone(), ro.AttentionProbe)
