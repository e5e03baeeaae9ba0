"""Every configuration error says what was got, what was expected and what to do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import SPEC, poses, span, worldkv
from worldkv_jax import memory as wm
from worldkv_jax.memory.prefetching import prefetch
from worldkv_jax.memory.profiles import PROFILES

BANK, COMPRESSION, RETRIEVAL, MEMORY = wm.BankConfig, wm.CompressionConfig, wm.RetrievalConfig, wm.MemoryConfig

FIELDS = [
    (COMPRESSION, {"keep_ratio": 0.0}, r"keep_ratio=0\.0 is outside \(0, 1\]; 1 keeps everything"),
    (COMPRESSION, {"keep_ratio": 1.01}, r"keep_ratio=1\.01 is outside \(0, 1\]"),
    (COMPRESSION, {"keep_ratio": -0.5}, r"keep_ratio=-0\.5 is outside"),
    (COMPRESSION, {"keep_ratio": float("nan")}, r"keep_ratio=nan is outside"),
    (COMPRESSION, {"similarity": "per-key"}, r"unknown similarity 'per-key'; did you mean 'per_key'\?"),
    (COMPRESSION, {"at": "stor"}, r"did you mean 'store'\? valid: retrieval, store"),
    (COMPRESSION, {"keep": "nov"}, r"did you mean 'novel'\?"),
    (COMPRESSION, {"rotate_anchor": True}, r"rotate_anchor needs at='retrieval'"),
    (RETRIEVAL, {"chunks": 0}, r"retrieval\.chunks=0 must be at least 1; to retrieve nothing use mode='sink_recent'"),
    (RETRIEVAL, {"rule": "overlaps"}, r"unknown retrieval rule 'overlaps'; did you mean 'overlap'\?"),
    (RETRIEVAL, {"positions": "rebase"}, r"did you mean 'rebased'\?"),
    (RETRIEVAL, {"rebase_order": "tim"}, r"did you mean 'time'\?"),
    (RETRIEVAL, {"max_shift": -1}, r"max_shift=-1 must not be negative"),
    (BANK, {"tier": "pinned-host"}, r"unknown bank tier 'pinned-host'; did you mean 'pinned_host'\?"),
    (BANK, {"tier": "disk"}, r"unknown bank tier 'disk'; .*valid: device, device_slots, host, pinned_host"),
    (BANK, {"when_full": "drop-oldest"}, r"did you mean 'drop_oldest'\?"),
    (BANK, {"capacity": 0}, r"bank\.capacity=0 must be at least 1"),
    (MEMORY, {"mode": "worldkw"}, r"unknown memory mode 'worldkw'; did you mean 'worldkv'\?"),
    (MEMORY, {"sink_frames": -3}, r"sink_frames=-3 .* must not be negative"),
    (MEMORY, {"mode": "sliding", "recent_frames": -1}, r"recent_frames=-1 must not be negative"),
    (MEMORY, {"mode": "sliding", "sink_frames": 3}, r"mode='sliding' has no sink, got sink_frames=3; use mode='sink"),
    (MEMORY, {"mode": "full", "retrieval": RETRIEVAL()}, r"mode='full' has no retrieval; use mode='worldkv' or leave"),
    (MEMORY, {"mode": "sink_recent", "bank": BANK()}, r"mode='sink_recent' has no bank"),
    (COMPRESSION, {"keep_ratio": "0.5"}, r"keep_ratio='0\.5' is outside"),
    (COMPRESSION, {"keep_tokens": 7.5}, r"keep_tokens=7\.5 is no whole number"),
    (RETRIEVAL, {"chunks": 1.5}, r"retrieval\.chunks=1\.5 is no whole number"),
    (BANK, {"capacity": True}, r"bank\.capacity=True is no whole number"),
    (MEMORY, {"recent_frames": 1.5}, r"recent_frames=1\.5 is no whole number"),
    (MEMORY, {"sink_frames": float("nan")}, r"sink_frames=nan is no whole number"),
    (MEMORY, {"retrieval": "camera"}, r"retrieval='camera' is no RetrievalConfig; give one"),
    (MEMORY, {"mode": "full", "released_window": True}, r"released_window concerns mode='worldkv', got mode='full'"),
]


@pytest.mark.parametrize(("config", "fields", "says"), FIELDS)
def test_a_wrong_field_is_named(config, fields, says):
    with pytest.raises(ValueError, match=says):
        config(**fields)


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown profile 'offical'; did you mean 'OFFICIAL'\?"):
        wm.profile("offical")
    assert wm.profile("Official") is wm.OFFICIAL


BUDGET = {"keep_tokens": 3}
UNEVEN = {"keep_tokens": 7, "pooled": False}
SIZES = [
    (worldkv(), {"worlds": 0}, r"worlds=0 must be at least 1"),
    (worldkv(), {"chunks": 0}, r"chunks=0 must be at least 1"),
    (worldkv(), {"chunks": 2.5}, r"chunks=2\.5 is no whole number"),
    ("worldkv", {}, r"the config of a memory is 'worldkv', expected a MemoryConfig"),
    (MEMORY(mode="full"), {"chunks": None}, r"mode='full' .* how long the rollout is with chunks="),
    (worldkv(), {"chunks": None}, r"the bank has no size: give bank\.capacity, or .* chunks="),
    (worldkv(chunks=6), {"chunks": 5}, r"retrieval\.chunks=6 is more than the 4 chunks .*; use at most 4, a longer"),
    (worldkv(chunks=6, capacity=5), {"chunks": None}, r"retrieval\.chunks=6 is more than the 5 chunks"),
    (worldkv(chunks=6, capacity=50), {"chunks": 5}, r"retrieval\.chunks=6 is more than the 4 chunks"),
    (worldkv(sink_frames=4), {}, r"sink_frames=4 is not a multiple of chunk_frames=3, .*; use 3 or 6"),
    (worldkv(recent_frames=2), {}, r"recent_frames=2 is not a multiple of chunk_frames=3, .*; use 0 or 3"),
    (worldkv(compression=COMPRESSION(**BUDGET)), {}, r"keep_tokens=3 does not fit .* give 4 .* to 12"),
    (worldkv(compression=COMPRESSION(keep_tokens=13)), {}, r"keep_tokens=13 does not fit"),
    (worldkv(compression=COMPRESSION(**UNEVEN)), {}, r"keep_tokens=7 leaves 3 .* pooled=True or another budget"),
    (
        dataclasses.replace(wm.OFFICIAL, sink_frames=4),
        {"chunks": 8},
        r"part of the current chunk; .* at least 9 chunks",
    ),
]


@pytest.mark.parametrize(("config", "sizes", "says"), SIZES)
def test_sizes_that_do_not_fit_are_named(config, sizes, says):
    with pytest.raises(ValueError, match=says):
        wm.WorldMemory.create(config, SPEC, **{"chunks": 10, **sizes})


SPECS = [
    ({"layers": 0}, r"layers=0 must be at least 1"),
    ({"tokens_per_frame": -1}, r"tokens_per_frame=-1 must be at least 1"),
    ({"dtype": "int8"}, r"dtype='int8' is not a floating-point type; use 'bfloat16' or 'float32'"),
    ({"dtype": "float99"}, r"dtype='float99' is not a type of numbers; use 'bfloat16' or 'float32'"),
    ({"head_dim": 8.0}, r"head_dim=8\.0 is no whole number"),
    ({"layers": "2"}, r"layers='2' is no whole number"),
    ({"tokens_per_frame": True}, r"tokens_per_frame=True is no whole number"),
]


@pytest.mark.parametrize(("fields", "says"), SPECS)
def test_a_wrong_spec_is_named(fields, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(SPEC, **fields)


def test_keys_of_another_model_are_refused():
    memory = wm.WorldMemory.create(worldkv(), SPEC, chunks=5)
    own = jax.tree.map(lambda a: a[:, :, 1:], span(0))
    with pytest.raises(ValueError, match=r"own keys \(2, 1, 11, 2, 8\) .* expected \(2, 1, 12, 2, 8\)"):
        wm.remember(memory, own, jax.device_put(poses(1)[0]))


@pytest.mark.parametrize("config", [worldkv(), MEMORY(mode="sliding")])
def test_cameras_of_another_shape_are_refused(config):
    memory = wm.WorldMemory.create(config, SPEC, chunks=5)
    cameras = jax.device_put(poses(1)[0])
    says = r"cameras have shape \(1, 2, 4, 4\), expected \(1, 3, 4, 4\): \[worlds, frames of a chunk, 4, 4\]"
    with pytest.raises(ValueError, match=says):
        wm.recall(memory, cameras[:, :2])
    if config.mode == "worldkv":
        with pytest.raises(ValueError, match=says):
            wm.remember(memory, span(0), cameras[:, :2])
        with pytest.raises(ValueError, match=says):
            prefetch(memory, cameras[:, :2])


def test_cameras_of_numpy_that_are_not_finite_are_refused():
    memory = wm.WorldMemory.create(worldkv(), SPEC, chunks=5)
    cameras = np.where(np.eye(4) > 0, poses(1)[0], np.nan)
    for call in (lambda: wm.recall(memory, cameras), lambda: wm.remember(memory, span(0), cameras)):
        with pytest.raises(ValueError, match="cameras have numbers that are not finite; leave these frames out"):
            call()


def test_picks_and_flags_of_another_type_are_named():
    memory = wm.WorldMemory.create(worldkv(), SPEC, chunks=5)
    with pytest.raises(ValueError, match=r"picks are list\[1, 1\], expected chunk ids int32"):
        wm.recall(memory, jnp.asarray(poses(1)[0]), picks=[[0]])
    assert int(wm.reset(memory, True).chunk) == 0


@pytest.mark.parametrize("tier", ["pinned_host", "host"])
def test_a_host_tier_inside_jit_is_refused(tier):
    memory = wm.WorldMemory.create(worldkv(tier=tier), SPEC, chunks=5)
    cameras = jax.device_put(poses(1)[0])
    says = rf"bank\.tier='{tier}' .* call recall and remember outside of them, or use tier='device'"
    with pytest.raises(ValueError, match=says):
        jax.jit(wm.recall)(memory, cameras)
    with pytest.raises(ValueError, match=says):
        jax.jit(wm.remember)(memory, span(0), cameras)
    with pytest.raises(ValueError, match=says):
        jax.jit(lambda view: wm.recall(memory, view))(cameras)


def test_configurations_are_hashable_and_equal_by_value():
    assert hash(worldkv()) == hash(worldkv()) and worldkv() == worldkv()
    for config in PROFILES.values():
        assert config == dataclasses.replace(config)


def test_rebased_positions_are_the_only_ones_that_need_a_rope():
    wm.WorldMemory.create(worldkv(), dataclasses.replace(SPEC, rope=None), chunks=5)


def test_the_verbs_say_what_they_were_given_in_place_of_a_memory_or_a_span():
    memory, own, view = wm.WorldMemory.create(wm.PAPER, SPEC, chunks=9), span(0), poses(1)[0]
    for call in (
        lambda: wm.recall(wm.recall(memory, view), view),
        lambda: wm.select(wm.recall(memory, view), view),
        lambda: wm.remember(wm.recall(memory, view), own, view),
    ):
        with pytest.raises(ValueError, match="memory is a tuple, expected a WorldMemory"):
            call()
    for given, says in (
        (tuple(own), r"own is a tuple, expected KVSpan\(keys, values\)"),
        (view, "own is a ndarray, expected KVSpan"),
        (wm.KVSpan(own.keys, None), "values NoneType do not fit this memory"),
    ):
        with pytest.raises(ValueError, match=says):
            wm.remember(memory, given, view)
