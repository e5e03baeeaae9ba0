"""A plan counts what a rollout really allocates, and says what to change."""

import dataclasses

import jax
import pytest

from tests.memory.walks import worldkv
from tests.rollout.tiny_backbone import TinyBackbone
from tests.sessions.tiny import roll, tiny_session
from worldkv_jax import memory as wm
from worldkv_jax.cli.plan import describe_fetching, describe_splits
from worldkv_jax.memory.layout import Layout
from worldkv_jax.sessions.devices import Device, device_named
from worldkv_jax.sessions.plan import Cost, advise, make_plan, placements

BACKBONE = TinyBackbone()
SPEC = BACKBONE.spec
COST = Cost(weights_bytes=1000, passes=3, pass_flops=7.0, activation_bytes=50, prepare_flops=2.0, decode_flops=1.0)
CONFIGS = {
    "full": wm.MemoryConfig(mode="full"),
    "sliding": wm.MemoryConfig(mode="sliding"),
    "worldkv": worldkv(compression=wm.CompressionConfig(keep_ratio=0.5)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_window_and_bank_are_what_is_allocated(name):
    plan = make_plan(BACKBONE, CONFIGS[name], COST, chunks=5)
    memory = jax.eval_shape(lambda: wm.WorldMemory.create(CONFIGS[name], SPEC, chunks=5))
    buffers = [memory.window, memory.bank.slots] if memory.bank else [memory.window]
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(buffers))
    assert plan.device_bytes["window and bank" if memory.bank else "window"] == held
    assert plan.device_bytes["weights"] == 1000 and plan.device_bytes["activations"] == 50
    assert plan.total_bytes == sum(plan.device_bytes.values()) and not plan.host_bytes and not plan.link_bytes


def test_what_a_model_needs_is_counted_once_and_not_before_a_plan_asks():
    asked = []

    def count() -> Cost:
        asked.append("counted")
        return COST

    session = dataclasses.replace(tiny_session(CONFIGS["worldkv"], 5), count_cost=count)
    assert not asked
    assert session.plan() == session.plan() and asked == ["counted"]
    assert session.cost.weights_bytes == 1000


def test_a_context_takes_room_for_one_layer_beside_what_it_is_made_of():
    for config in CONFIGS.values():
        layout = Layout(config=config, spec=SPEC, chunks=5)
        needs = make_plan(BACKBONE, config, COST, chunks=5).device_bytes
        assert needs["context of a layer"] == SPEC.bytes(1, SPEC.chunk_tokens + layout.context_tokens) // SPEC.layers
        assert ("retrieved chunks" in needs) == (config.mode == "worldkv")


def test_a_bank_in_host_memory_costs_traffic():
    plans = placements(BACKBONE, CONFIGS["worldkv"], COST, chunks=5)
    assert list(plans) == ["device", "pinned_host"]
    host, device = plans["pinned_host"], plans["device"]
    chunk = SPEC.bytes(1, 4 + 4)  # the anchor and half of the two other frames
    assert host.host_bytes == 4 * chunk  # the first of five chunks is the sink
    assert host.link_bytes == (1 + 2) * chunk == host.device_bytes["chunks on their way"]
    assert host.device_bytes["retrieved chunks"] == 2 * chunk
    assert device.device_bytes["window and bank"] - host.device_bytes["window"] == host.host_bytes
    assert device.chunk_flops == host.chunk_flops


@pytest.mark.parametrize("tier", ["device", "host"])
def test_saving_is_counted_as_it_is_written(tier, tmp_path):
    config, chunks = worldkv(compression=wm.CompressionConfig(keep_ratio=0.5), tier=tier), 6
    session = tiny_session(config, chunks, decode=False)
    with session.saving(tmp_path, every=2) as saver:
        roll(session, session.start(), keeper=saver)
    saving = make_plan(BACKBONE, config, COST, chunks=chunks, save_every=2).saving
    stored = saver.folder.manifest.stored
    assert len(stored) == 5 and all(
        sum(ref.nbytes for ref in worlds[0].values()) == saving.chunk_bytes for worlds in stored.values()
    )
    state = saver.folder.manifest.points[6].state
    window = sum(ref.nbytes for name, ref in state.items() if name.startswith("window"))
    assert saving.point_bytes == window and saving.disk_bytes == 3 * window + 5 * saving.chunk_bytes
    copies = 4 * saving.chunk_bytes if tier == "device" else 0
    assert saving.device_bytes == 2 * saving.point_bytes + copies
    assert saving.host_bytes == saving.point_bytes + saving.chunk_bytes


def test_eight_bits_stay_eight_bits_until_a_layer_reads_them():
    config = worldkv(storage="int8")
    device, host = placements(BACKBONE, config, COST, chunks=5).values()
    layout = Layout(config=config, spec=SPEC, chunks=5)
    assert host.device_bytes["retrieved chunks"] == layout.bank.retrieval.chunks * layout.bank.chunk_bytes
    assert device.device_bytes["retrieved chunks"] > 2 * host.device_bytes["retrieved chunks"]  # float32 here


def test_the_worst_moment_is_counted_not_the_sum_of_moments():
    decoding = dataclasses.replace(COST, decoder_bytes=10**8, decoder_state_bytes=10**7)
    plan = make_plan(BACKBONE, CONFIGS["sliding"], decoding, chunks=5)
    assert plan.moment == "decoding" and "activations" not in plan.device_bytes
    assert plan.device_bytes["decoding"] == 9 * 10**7 and plan.device_bytes["decoder's state"] == 10**7
    assert make_plan(BACKBONE, CONFIGS["sliding"], COST, chunks=5).moment == "denoising"


def test_several_chips_share_heads():
    cost = dataclasses.replace(COST, whole_weights_bytes=200)
    one, two, three = (make_plan(BACKBONE, CONFIGS["worldkv"], cost, chunks=5, chips=n) for n in (1, 2, 3))
    assert (two.chips, three.chips) == (2, 2)  # of two heads
    assert two.device_bytes["weights"] == 200 + 800 // 2
    assert two.device_bytes["window and bank"] == one.device_bytes["window and bank"] // 2
    assert two.device_bytes["activations"] == one.device_bytes["activations"]
    slow = Device(name="slow", memory_bytes=1, flops=1.0, link_bytes=1.0)
    assert two.floor_seconds(slow) == one.floor_seconds(slow) / 2


def test_arithmetic_is_counted_for_the_last_chunk():
    plan = make_plan(BACKBONE, CONFIGS["full"], COST, chunks=4, worlds=2)
    assert plan.attended_tokens == 4 * SPEC.chunk_tokens
    scores = 2 * 2 * 2 * SPEC.layers * SPEC.chunk_tokens * plan.attended_tokens * SPEC.heads * SPEC.head_dim
    assert plan.chunk_flops == 3 * (7.0 + scores) + 3.0
    slow = Device(name="slow", memory_bytes=1, flops=plan.chunk_flops / 5, link_bytes=1.0)
    assert plan.floor_seconds(slow) == 5.0


def test_encoders_count_when_they_are_the_worst_moment():
    plan = make_plan(BACKBONE, CONFIGS["full"], dataclasses.replace(COST, encoder_bytes=10**9), chunks=2)
    assert plan.total_bytes == 10**9 and not plan.fits(10**9 - 1) and plan.fits(10**9)


def test_advice_names_the_next_thing_to_change():
    def ask(config, limit, worlds=1, chunks=5):
        return advise(BACKBONE, config, COST, chunks=chunks, worlds=worlds, device_bytes=limit)

    plans = placements(BACKBONE, CONFIGS["worldkv"], COST, chunks=40)
    between = (plans["pinned_host"].total_bytes + plans["device"].total_bytes) // 2
    assert "`tier` pinned_host" in ask(CONFIGS["worldkv"], between, chunks=40)
    just_too_small = plans["pinned_host"].total_bytes - 1
    assert "`storage` int8 `tier` pinned_host" in ask(CONFIGS["worldkv"], just_too_small, chunks=40)
    assert "the model alone does not fit" in ask(CONFIGS["worldkv"], 1000)
    assert "`memory` worldkv" in ask(CONFIGS["full"], 1100)
    assert "fewer worlds" in ask(CONFIGS["worldkv"], 1100, worlds=2)
    assert "`retrieve`" in ask(CONFIGS["worldkv"], 1100)


def test_devices_have_names():
    assert device_named("H200").memory_bytes > device_named("h100").memory_bytes
    with pytest.raises(ValueError, match="unknown device 'h20'; did you mean 'h200'"):
        device_named("h20")


def test_tokens_over_chips_keep_all_weights_and_send_less():
    cost = dataclasses.replace(
        COST, whole_weights_bytes=200, activation_bytes=40, prepared_bytes=30, prepared_token_bytes=20
    )
    heads, tokens = (
        make_plan(BACKBONE, CONFIGS["worldkv"], cost, chunks=5, chips=2, over=over) for over in ("heads", "tokens")
    )
    of = ("weights", "activations", "constant over a chunk", "window and bank")
    assert [heads.device_bytes[name] for name in of[:3]] == [600, 40, 30]
    assert [tokens.device_bytes[name] for name in of[:3]] == [1000, 20, 20]
    assert heads.device_bytes[of[3]] == tokens.device_bytes[of[3]], "what is remembered has its heads split either way"
    rows = SPEC.layers * COST.passes * SPEC.chunk_tokens * SPEC.heads * SPEC.head_dim * 4
    assert (heads.sent_bytes, tokens.sent_bytes) == (3 * 2 * rows // 2, 4 * rows // 2 // 2)
    assert make_plan(BACKBONE, CONFIGS["worldkv"], cost, chunks=5).sent_bytes == 0
    plans = {"heads": heads, "tokens": tokens}
    said = {}
    for room in (100, heads.total_bytes, tokens.total_bytes):
        chip = Device(name="chip", memory_bytes=room, flops=1e12, link_bytes=1e9, chips=2, exchange_bytes=1e9)
        said[room] = describe_splits(plans, chip)
    assert said[100].endswith("neither fits")
    assert said[heads.total_bytes].endswith("split heads (mesh axis model): it alone fits")
    assert said[tokens.total_bytes].endswith("split tokens (mesh axis sequence): both fit, and it sends less")


def test_fetching_weights_is_weighed_against_the_arithmetic():
    cost = dataclasses.replace(COST, waiting_bytes=500, fetched_bytes=2_000_000_000)
    plan = make_plan(BACKBONE, CONFIGS["worldkv"], cost, chunks=5)
    assert plan.host_bytes == 500 and plan.link_bytes == plan.fetched_bytes == 2_000_000_000
    slow, quick = (Device(name="card", memory_bytes=1, flops=plan.chunk_flops, link_bytes=link) for link in (1e9, 4e9))
    assert describe_fetching(plan, quick).endswith(
        "0.500 s for all that moves beside 1.000 s of arithmetic, behind which it hides"
    )
    assert describe_fetching(plan, slow).endswith("2.00 times as long") and plan.floor_seconds(slow) == 2
