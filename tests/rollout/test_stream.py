"""Streaming: what a chunk reports, where its noise comes from, and that parts add up to the whole."""

import re
import types

import jax
import numpy as np
import pytest

from tests.memory.walks import recall, worldkv
from tests.rollout.worlds import BACKBONE, LENGTH, PARAMS, latents, noise, run, views
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro
from worldkv_jax.memory.report import bytes_by_tier
from worldkv_jax.rollout.noise import draw_noise

PRUNED = wm.CompressionConfig(keep_ratio=0.5)


def test_the_same_key_gives_the_same_world():
    runs = [latents(run(worldkv(), 5, noise=None, key=jax.random.key(seed))[0]) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 0.1
    assert len({chunk.tobytes() for chunk in runs[0]}) == 5, "every chunk has its own noise"


def test_noise_of_a_world_is_the_same_alone_in_a_batch_and_under_x64():
    alone, three = (draw_noise(jax.random.key(7), np.int32(1), worlds, (2, 4)) for worlds in (1, 3))
    np.testing.assert_array_equal(alone[:, 0], three[:, 0])
    assert np.abs(three[:, 0] - three[:, 1]).max() > 0.1
    with jax.enable_x64(True):
        wide = draw_noise(jax.random.key(7), np.int32(1), 1, (2, 4))
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, alone)


def test_injected_noise_is_what_the_chunk_starts_from():
    want, _ = run(worldkv(), 4)
    seen = []
    got, _ = run(worldkv(), 4, noise=lambda i: seen.append(i) or noise(i))
    np.testing.assert_array_equal(latents(got), latents(want))
    assert seen == [0, 1, 2, 3]


@pytest.mark.optimized
def test_the_past_matters():
    """A rollout that remembers differs from one that forgets, else equal latents would prove nothing."""
    remembering, forgetting = (
        latents(run(config, 7)[0]) for config in (worldkv(), wm.MemoryConfig(mode="sliding", recent_frames=3))
    )
    np.testing.assert_array_equal(remembering[:2], forgetting[:2])
    assert np.abs(remembering[6] - forgetting[6]).max() > 1e-3


@pytest.mark.parametrize("keep", ["window", "retrieval"])
def test_worldkv_that_keeps_everything_makes_the_world_of_full_memory(keep):
    ours = worldkv(recent_frames=21) if keep == "window" else worldkv(chunks=6)
    want, _ = run(wm.MemoryConfig(mode="full"), 7)
    got, _ = run(ours, 7)
    np.testing.assert_allclose(latents(got), latents(want), atol=2e-5)
    assert [c.attended_tokens for c in got] == [c.attended_tokens for c in want] == [12 * c for c in range(7)]


def test_worlds_of_a_batch_are_the_worlds_one_by_one():
    inputs = views(7, worlds=2)
    together, _ = run(worldkv(compression=PRUNED), 7, worlds=2)
    for b in range(2):
        world = ro.start(BACKBONE, PARAMS, worldkv(compression=PRUNED), chunks=LENGTH)
        alone = [ro.ChunkInput(chunk.cameras[b : b + 1]) for chunk in inputs]
        options = {"noise": lambda i: noise(i, 2)[:, b : b + 1], "decode": False}  # noqa: B023
        made, _ = ro.rollout(BACKBONE, PARAMS, world, alone, **options)
        np.testing.assert_allclose(latents(made)[:, 0], latents(together)[:, b], atol=2e-5)
        for one, many in zip(made, together):
            np.testing.assert_array_equal(one.retrieved[0], many.retrieved[b])


CONFIGS = {
    "full": wm.MemoryConfig(mode="full"),
    "sliding": wm.MemoryConfig(mode="sliding", recent_frames=5),
    "sink_recent": wm.MemoryConfig(mode="sink_recent"),
    "worldkv": worldkv(compression=PRUNED),
    "host": worldkv(compression=PRUNED, tier="host"),
    "drop oldest": worldkv(capacity=3, when_full="drop_oldest"),
    "drop most redundant": worldkv(capacity=2, when_full="drop_most_redundant"),
    "official": wm.MemoryConfig(
        retrieval=wm.RetrievalConfig(chunks=2, rule="released"),
        compression=wm.OFFICIAL.compression,
        released_window=True,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_chunk_reports_what_its_context_held(name):
    config, length = CONFIGS[name], 7
    made, _ = run(config, length)
    world = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH)
    for index, (chunk, given) in enumerate(zip(made, views(length))):
        look = recall if world.memory.jittable else wm.recall
        context, picks = look(world.memory, given.cameras)
        assert chunk.index == index
        assert chunk.attended_tokens == int(context.length)
        if picks is None:
            assert chunk.retrieved.shape == (1, 0)
        else:
            np.testing.assert_array_equal(chunk.retrieved, np.asarray(picks.chunks)[:, : int(picks.count)])
        assert chunk.kv_bytes == bytes_by_tier(world.memory.layout, index + 1)
        assert chunk.seconds > 0 and chunk.latents.shape == (1, *BACKBONE.latent_shape)
        _, world = ro.generate_chunk(BACKBONE, PARAMS, world, given, jax.device_put(noise(index)))


@pytest.mark.parametrize("tier", ["device", "host"])
def test_observing_is_generating_with_the_latents_given(tier):
    """A rollout that goes on from observed chunks is the one that made them."""
    config, inputs = worldkv(tier=tier, compression=PRUNED), views(7)
    want, ended = run(config, 7)
    world = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH)
    world = ro.observe(BACKBONE, PARAMS, world, inputs[:4], [chunk.latents for chunk in want[:4]])
    got, world = ro.rollout(BACKBONE, PARAMS, world, inputs[4:], noise=noise, decode=False)
    assert [chunk.index for chunk in got] == [4, 5, 6]
    np.testing.assert_allclose(latents(got), latents(want[4:]), atol=2e-5)
    np.testing.assert_array_equal(world.carry, ended.carry)


def test_a_stream_in_parts_is_the_stream_as_a_whole():
    config, inputs = worldkv(), views(6)
    whole, _ = run(config, 6, decode=True)
    world, parts = ro.start(BACKBONE, PARAMS, config, chunks=LENGTH), []
    for part in (inputs[:2], inputs[2:3], inputs[3:]):
        made, world = ro.rollout(BACKBONE, PARAMS, world, part, noise=noise)
        parts += made
    np.testing.assert_array_equal(latents(parts), latents(whole))
    for ours, theirs in zip(parts, whole):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        assert ours.frames.shape == (1, 3, 2, 2, 3)


def test_a_live_stream_asks_for_each_camera_when_it_needs_it():
    asked = []

    def cameras():
        for index, given in enumerate(views(4)):
            asked.append(index)
            yield given

    world = ro.start(BACKBONE, PARAMS, worldkv(tier="host"), chunks=LENGTH)
    made = ro.stream(BACKBONE, PARAMS, world, cameras(), noise=noise, decode=False)
    assert isinstance(made, types.GeneratorType) and asked == []
    for index, chunk in enumerate(made):
        assert chunk.index == index and asked == list(range(index + 1))


def test_rollout_returns_the_world_after_its_last_chunk():
    made, world = run(worldkv(), 5)
    assert len(made) == 5 and int(world.memory.chunk) == 5
    np.testing.assert_array_equal(world.carry, [5.0])
    empty, same = ro.rollout(BACKBONE, PARAMS, world, [], noise=noise)
    assert empty == [] and int(same.memory.chunk) == 5


def test_progress_tells_speed_and_bytes(capsys):
    run(worldkv(tier="host"), 3, progress=True, decode=True)
    text = capsys.readouterr().err
    assert "compiling the chunk step of TinyBackbone" in text
    assert re.search(r"3/3 .*\d+\.\d fps, 6\.0 KiB KV in device, 6\.0 KiB KV in host", text)
    run(worldkv(), 3)
    assert capsys.readouterr().err == ""


def test_queries_come_from_a_pass_over_the_noise():
    by_attention, _ = run(worldkv(rule="attention", chunks=1), 7)
    by_camera, _ = run(worldkv(chunks=1), 7)
    chosen = [[chunk.retrieved.tolist() for chunk in made] for made in (by_attention, by_camera)]
    assert chosen[0] != chosen[1] and all(int(c[0][0]) > 0 for c in chosen[0] if c[0])
