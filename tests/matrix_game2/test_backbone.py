"""Matrix-Game 2.0 on a world memory: windows, carry, batches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.matrix_game2.backbone import MatrixGame2
from ports.matrix_game2.config import TINY
from ports.matrix_game2.memories import default_memory, native_memory
from ports.matrix_game2.model import MatrixGameDiT
from ports.matrix_game2.variants import VARIANTS
from ports.wan.autoencoders import wan_vae
from ports.wan.backbone import WanParams
from ports.wan.nn.parameters import abstract_params
from tests.matrix_game2.worlds import draw, inputs, noise, scene, tiny
from worldkv_jax import memory as wm
from worldkv_jax import rollout as ro
from worldkv_jax.rollout.backbone import AttentionProbe, Backbone

KEYS = {
    "universal": ["w", "wl", "l", "q", "sj", "j", "di"],
    "gta_drive": ["w", "wd", "wd", "q", "a", "s", "w"],
    "templerun": ["q", "w", "z", "q", "a", "s", "c"],
}
TWO_RETRIEVED = wm.MemoryConfig(mode="worldkv", retrieval=wm.RetrievalConfig(chunks=2))
each_variant = pytest.mark.parametrize("name", VARIANTS)
FIRST, *OTHERS = VARIANTS
one_variant_quickly = pytest.mark.parametrize(
    "name", [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)


def run(name, memory, keys=None, **options):
    """Roll out worlds in which these keys are pressed; return the latents ``[chunks, B, ...]`` and the chunks."""
    return _run(name, memory, tuple(map(tuple, keys or [KEYS[name]])), **options)


@functools.cache
def _run(name, memory, keys):
    backbone, params = tiny(name)
    chunks = inputs(VARIANTS[name], keys)
    world = ro.start(backbone, params, memory, chunks=len(chunks), worlds=len(keys))
    made, _ = ro.rollout(backbone, params, world, chunks, noise=lambda i: noise(i, backbone, len(keys)), decode=False)
    return np.stack([chunk.latents for chunk in made]), made


@each_variant
def test_is_a_backbone(name):
    backbone, _ = tiny(name)
    assert isinstance(backbone, Backbone)
    assert isinstance(backbone, AttentionProbe)
    hash(backbone)


@pytest.mark.long
@one_variant_quickly
def test_a_window_as_large_as_the_history_equals_full_memory(name):
    keep_all = wm.CompressionConfig(keep_ratio=1.0)
    everything = wm.MemoryConfig(
        mode="worldkv", retrieval=wm.RetrievalConfig(chunks=6), compression=keep_all, bank=wm.BankConfig(capacity=7)
    )
    full, _ = run(name, wm.MemoryConfig(mode="full"))
    got, made = run(name, everything)
    assert made[-1].retrieved.size  # some of the history did come from the bank
    np.testing.assert_allclose(got, full, atol=2e-5)


@one_variant_quickly
def test_memory_matters(name):
    native, _ = run(name, native_memory(tiny(name)[0].config))
    full, _ = run(name, wm.MemoryConfig(mode="full"))
    reach = 1 if name == "gta_drive" else 2  # chunks that see all of the history in the native window
    np.testing.assert_allclose(native[:reach], full[:reach], atol=2e-5)
    assert np.abs(native[reach:] - full[reach:]).max() > 1e-3


@pytest.mark.long
def test_the_native_window_of_the_car_is_one_frame():
    """A window of the newest frame alone, although chunks have three."""
    backbone, _ = tiny("gta_drive")
    native = native_memory(backbone.config)
    assert native.recent_frames == 1
    _, made = run("gta_drive", native)
    assert [chunk.attended_tokens for chunk in made] == [0] + [backbone.spec.tokens_per_frame] * 6


@pytest.mark.long
@pytest.mark.parametrize("name", ["universal", pytest.param("templerun", marks=pytest.mark.slow)])
def test_a_batch_of_worlds_equals_the_worlds_one_by_one(name):
    backbone, params = tiny(name)
    keys = [KEYS[name][shift:] + KEYS[name][:shift] for shift in range(4)]
    memory = TWO_RETRIEVED
    together, _ = run(name, memory, keys)
    given = inputs(VARIANTS[name], keys)
    for b in range(4):
        alone = jax.tree.map(lambda a: a[b : b + 1], given)  # noqa: B023
        world = ro.start(backbone, params, memory, chunks=len(alone))
        draw = lambda i: noise(i, backbone, 4)[:, b : b + 1]  # noqa: B023, E731
        made, _ = ro.rollout(backbone, params, world, alone, noise=draw, decode=False)
        got = np.stack([chunk.latents for chunk in made])
        np.testing.assert_allclose(got[:, 0], together[:, b], atol=2e-5)


@pytest.mark.parametrize("name", ["universal", pytest.param("templerun", marks=pytest.mark.long)])
def test_actions_steer(name):
    """A key changes its own chunk, and nothing before it."""
    native = native_memory(tiny(name)[0].config)
    quiet = [*KEYS[name][:3], "q", "q", "q", "q"]
    changed = [*quiet[:4], "w", *quiet[5:]]
    before, after = run(name, native, [quiet])[0], run(name, native, [changed])[0]
    np.testing.assert_array_equal(before[:4], after[:4])
    assert np.abs(before[4] - after[4]).max(axis=(0, 2, 3, 4)).min() > 1e-4  # in each of its latent frames


@pytest.mark.parametrize("name", ["universal", "gta_drive"])
def test_the_mouse_steers(name):
    native, turn = native_memory(tiny(name)[0].config), {"universal": "l", "gta_drive": "d"}[name]
    quiet = ["q"] * 4
    before, after = run(name, native, [quiet])[0], run(name, native, [[*quiet[:2], turn, "q"]])[0]
    np.testing.assert_array_equal(before[:2], after[:2])
    assert np.abs(before[2] - after[2]).max() > 1e-4


@pytest.mark.long
def test_a_rollout_in_parts_equals_one_in_a_piece():
    backbone, params = tiny("universal")
    memory = TWO_RETRIEVED
    whole, _ = run("universal", memory)
    chunks = inputs(VARIANTS["universal"], [KEYS["universal"]])
    world = ro.start(backbone, params, memory, chunks=7)
    latents = []
    for part in (chunks[:3], chunks[3:]):
        made, world = ro.rollout(backbone, params, world, part, noise=lambda i: noise(i, backbone), decode=False)
        latents += [chunk.latents for chunk in made]
    np.testing.assert_array_equal(np.stack(latents), whole)


def test_observed_chunks_are_remembered_as_if_they_were_generated():
    backbone, params = tiny("universal")
    memory = native_memory(backbone.config)
    whole, _ = run("universal", memory)
    chunks = inputs(VARIANTS["universal"], [KEYS["universal"]])
    world = ro.observe(backbone, params, ro.start(backbone, params, memory), chunks[:3], list(whole[:3]))
    made, _ = ro.rollout(backbone, params, world, chunks[3:], noise=lambda i: noise(i, backbone), decode=False)
    np.testing.assert_allclose(np.stack([chunk.latents for chunk in made]), whole[3:], atol=2e-5)


@pytest.mark.long
@pytest.mark.parametrize(("positions", "rule"), [("rebased", "camera"), ("as_stored", "attention")])
def test_retrieved_keys_at_other_positions_and_by_attention(positions, rule):
    retrieval = wm.RetrievalConfig(chunks=2, positions=positions, rule=rule)
    got, made = run("universal", wm.MemoryConfig(mode="worldkv", retrieval=retrieval))
    assert np.isfinite(got).all()
    assert made[-1].retrieved.shape == (1, 2)
    assert np.abs(got - run("universal", TWO_RETRIEVED)[0]).max() > 1e-4


@pytest.mark.long
def test_frames_are_nine_and_then_twelve_and_in_range():
    backbone, params = tiny("universal")
    params = params._replace(vae={"decoder": draw(wan_vae.abstract_params(backbone.vae)["decoder"], seed=2)})
    world = ro.start(backbone, params, native_memory(backbone.config))
    chunks = inputs(VARIANTS["universal"], [KEYS["universal"][:3]])
    made, _ = ro.rollout(backbone, params, world, chunks, noise=lambda i: noise(i, backbone))
    assert [chunk.frames.shape for chunk in made] == [(1, n, 32, 48, 3) for n in (9, 12, 12)]
    for chunk in made:
        assert 0 <= chunk.frames.min() <= chunk.frames.max() <= 1


@pytest.mark.slow
def test_half_precision_runs_and_stays_near():
    backbone, params = tiny("universal")
    half = dataclasses.replace(backbone, config=dataclasses.replace(backbone.config, dtype="bfloat16"))
    chunk = inputs(VARIANTS["universal"], [["wl"]])[0]
    memory = native_memory(backbone.config)
    latents = {}
    for b in (backbone, half):
        cast = params._replace(dit=jax.tree.map(lambda a: a.astype(b.config.dtype), params.dit))  # noqa: B023
        world = ro.start(b, cast, memory)
        assert {leaf.dtype for leaf in jax.tree.leaves(world.carry)} == {jnp.dtype(b.config.dtype)}
        made, _ = ro.generate_chunk(b, cast, world, chunk, noise(0, b))
        latents[b.config.dtype] = np.asarray(made.latents)
    assert latents["bfloat16"].dtype == np.float32
    difference = np.abs(latents["bfloat16"] - latents["float32"]).mean()
    assert 0 < difference < 0.05 * np.abs(latents["float32"]).mean()


def test_norms_of_the_action_modules_are_kept_but_not_applied():
    backbone, params = tiny("universal")
    changed = jax.tree.map(jnp.copy, params.dit)
    for branch in ("mouse", "keyboard"):
        norms = changed["actions"][branch]["unused_norms"]
        for name in norms:
            norms[name] = norms[name] * 7
    chunk = inputs(VARIANTS["universal"], [["wl"]])[0]
    latents = [
        ro.generate_chunk(backbone, p, ro.start(backbone, p, native_memory(TINY)), chunk, noise(0, backbone))[0].latents
        for p in (params, params._replace(dit=changed))
    ]
    np.testing.assert_array_equal(*latents)


def test_memory_of_each_variant():
    for name, variant in VARIANTS.items():
        memory = default_memory(variant, chunks=40)
        assert memory.mode == ("sliding" if name == "templerun" else "worldkv")
    drive, walk = (default_memory(VARIANTS[name], chunks=40).retrieval.rule for name in ("gta_drive", "universal"))
    assert drive.rotation_weight > walk.rotation_weight
    assert default_memory(VARIANTS["universal"], chunks=4).retrieval.chunks == 3
    assert default_memory(VARIANTS["universal"], chunks=1).retrieval.chunks == 1


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="3 x 6 latent cells cannot be cut"):
        MatrixGame2(config=TINY, rows=3, columns=6)
    with pytest.raises(ValueError, match="window_frames=2 is shorter than a chunk"):
        dataclasses.replace(TINY, window_frames=2)
    with pytest.raises(ValueError, match="action_layers=4"):
        dataclasses.replace(TINY, action_layers=4)


def test_the_real_size():
    backbone = MatrixGame2()
    spec = backbone.spec
    assert (spec.layers, spec.heads, spec.head_dim, spec.tokens_per_frame) == (30, 12, 128, 880)
    assert spec.bytes(1, spec.chunk_tokens) == 486_604_800  # of one chunk, bfloat16
    carry = jax.eval_shape(lambda: backbone.init_carry(None, 1))
    assert sum(a.size * 2 for a in jax.tree.leaves(carry.mouse)) == 324_403_200 // 2  # half of the released window
    assert scene().chunk_cells(9).shape == (1, 3, 4, 6, 20)


def test_every_block_may_see_the_actions():
    variant = VARIANTS["universal"]
    config = dataclasses.replace(tiny("universal")[0].config, action_layers=3)
    rows, columns = tiny("universal")[0].latent_shape[1:3]
    backbone = MatrixGame2(config=config, rows=rows, columns=columns, schedule=variant.schedule)
    params = jax.eval_shape(lambda: draw(abstract_params(MatrixGameDiT, config), seed=1))
    chunk = inputs(variant, [["w"]])[0]

    def commit(params, chunk):
        given = WanParams(params, None)
        carry, cameras = backbone.init_carry(given, 1), chunk.cameras
        world = wm.WorldMemory.create(native_memory(config), backbone.spec)
        prepared = backbone.prepare_chunk(given, carry, chunk, jnp.int32(0))
        return backbone.commit(given, jnp.zeros((1, *backbone.latent_shape)), prepared, wm.recall(world, cameras)[0])

    own, carry = jax.eval_shape(commit, params, chunk)
    assert own.keys.shape[0] == carry.mouse.key.shape[0] == 3
