"""Play: what each chunk is given of its actions, from scripts, arrays and live; where that leads the camera."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ports.matrix_game2.actions import Rows, action_windows, rows_of_keys
from ports.matrix_game2.loading import Program
from ports.matrix_game2.memories import default_memory
from ports.matrix_game2.play import Track, ask, cut_rows, follow, play
from ports.matrix_game2.poses import motion_of
from ports.matrix_game2.scene import Scene
from ports.matrix_game2.variants import GTA_DRIVE, TEMPLERUN, UNIVERSAL, VARIANTS
from tests.matrix_game2.worlds import inputs, scene
from worldkv_jax import memory as wm
from worldkv_jax.cameras import pose_distance
from worldkv_jax.cameras.actions import MotionUnits, dead_reckon

KEYS = {
    "universal": ["w", "wl", "l", "q", "sj", "j", "di"],
    "gta_drive": ["w", "wd", "wd", "q", "a", "s", "w"],
    "templerun": ["q", "z", "z", "q", "z", "s", "c"],
}
each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)


def cameras(chunks):
    """Poses of the first world, ``[frames, 4, 4]``."""
    return np.concatenate([chunk.cameras[0] for chunk in chunks])


@each_variant
def test_chunk_by_chunk_equals_the_whole_track(variant):
    keys = KEYS[variant.name]
    rows = rows_of_keys(variant, keys)
    chunks = inputs(variant, [keys])
    path = dead_reckon(motion_of(variant, rows, MotionUnits()), MotionUnits())
    for index, chunk in enumerate(chunks):
        frames = range(3 * index, 3 * index + 3)
        assert chunk.conditions.keyboard.shape == (1, 3, 12, len(variant.columns))
        np.testing.assert_array_equal(chunk.conditions.keyboard[0], action_windows(rows.keyboard, frames))
        if variant.mouse:
            np.testing.assert_array_equal(chunk.conditions.mouse[0], action_windows(rows.mouse, frames))
        else:
            assert chunk.conditions.mouse is None
    np.testing.assert_allclose(cameras(chunks), path.pose()[:81:4], atol=1e-6)


def test_the_image_is_given_once():
    chunks = inputs(UNIVERSAL, [["q"] * 12])
    masks = np.stack([chunk.conditions.image[0, ..., :4] for chunk in chunks])
    assert masks[0, 0].all()
    assert masks.sum() == masks[0, 0].size
    given = scene().cells
    np.testing.assert_array_equal(chunks[2].conditions.image, given[:, 6:9])
    for chunk in chunks[10:]:
        np.testing.assert_array_equal(chunk.conditions.image, given[:, [29, 29, 29]])


def test_live_equals_a_script():
    script, asked = KEYS["universal"], []

    def source(chunk):
        asked.append(chunk)
        return script[chunk] if chunk < len(script) else None

    live = play(scene(), UNIVERSAL, source)
    assert asked == []
    for index, want in enumerate(inputs(UNIVERSAL, [script])):
        got = next(live)
        assert asked == list(range(index + 1))  # one at a time, and not ahead
        jax.tree.map(np.testing.assert_array_equal, got, want)
    assert list(live) == []


def test_worlds_of_a_batch_have_their_own_actions():
    two = play(scene(2), UNIVERSAL, lambda chunk: ["w", "l"] if chunk else "q")
    next(two)
    chunk = next(two)
    assert chunk.cameras.shape == (2, 3, 4, 4)
    assert chunk.conditions.keyboard[0].any()
    assert not chunk.conditions.keyboard[1].any()


def test_a_rollout_goes_on_where_it_stopped():
    script = KEYS["universal"]
    whole = inputs(UNIVERSAL, [script])
    pieces = cut_rows([rows_of_keys(UNIVERSAL, script)])
    first = follow(scene(), UNIVERSAL, pieces[:3])
    while True:
        try:
            next(first)
        except StopIteration as end:
            tracks = end.value
            break
    assert [track.chunk for track in tracks] == [3]
    rest = list(follow(scene(), UNIVERSAL, pieces[3:], tracks=tracks))
    jax.tree.map(np.testing.assert_array_equal, rest, whole[3:])
    assert len(tracks[0].rows.keyboard) <= 12  # what is past is forgotten
    assert Track().chunk == 0


def test_actions_may_be_rows():
    own = Rows(np.eye(4, dtype=np.float32)[[0]], np.float32([[0, 0.3]]))
    rows = list(ask(lambda chunk: own if chunk < 2 else None, UNIVERSAL))
    assert [row[0].keyboard.shape for row in rows] == [(9, 4), (12, 4)]
    np.testing.assert_array_equal(rows[1][0].mouse, np.tile(own.mouse, (12, 1)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("x", "unknown key 'x'"),
        (["w", "s", "a"], "got 3 actions for chunk 0; give one, or one for each of 2 worlds"),
        ([7, "w"], "the action for chunk 0 is 7"),
        (7, "the action for chunk 0 is 7; give letters such as 'WL', or Rows"),
        (Rows(np.zeros((5, 4)), np.zeros((5, 2))), "chunk 0 has 9 pixel frames; got 5 rows"),
        (Rows(np.full((1, 4), np.nan), np.zeros((1, 2))), "row 0 of the keyboard has nan"),
    ],
)
def test_answers_that_are_no_actions(answer, message):
    with pytest.raises(ValueError) as error:
        next(ask(lambda chunk: answer, UNIVERSAL, worlds=2))
    assert message in str(error.value)


def test_worlds_of_a_batch_are_as_long_as_each_other():
    with pytest.raises(ValueError, match="different numbers of rows of actions"):
        cut_rows([rows_of_keys(UNIVERSAL, ["w"]), rows_of_keys(UNIVERSAL, ["w", "w"])])


def test_a_car_turns_without_looking_up_or_stepping_aside():
    path = cameras(inputs(GTA_DRIVE, [["wd"] * 8]))
    np.testing.assert_allclose(path[:, 1, 3], 0)
    headings = np.rad2deg(np.arctan2(path[:, 0, 2], path[:, 2, 2]))
    np.testing.assert_allclose(np.diff(headings), 6, atol=1e-4)  # 4 frames of 1.5 degrees


def test_a_runner_turns_once_a_key_press():
    path = cameras(inputs(TEMPLERUN, [["q", "z", "z", "q", "z", "c", "q"]]))
    headings = np.rad2deg(np.arctan2(path[:, 0, 2], path[:, 2, 2])).round().astype(int) % 360
    # A key of a chunk acts before the chunk's first latent frame is over; held for two chunks it is one press.
    assert headings[2::3].tolist() == [0, 270, 270, 270, 180, 270, 270]
    steps = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=-1)
    assert steps.min() > 0  # it never stops


def test_a_runner_steps_aside():
    path = cameras(inputs(TEMPLERUN, [["q", "d", "q"]]))
    assert path[-1, 0, 3] > 0.5
    np.testing.assert_allclose(path[-1, 0, 2], 0, atol=1e-6)


def walk(variant, keys, memory):
    """Walk a tiny memory along the poses of these keys; return what it retrieves for every chunk."""
    spec = wm.KVSpec(layers=1, heads=1, head_dim=6, tokens_per_frame=2)
    world = wm.WorldMemory.create(memory, spec, chunks=len(keys))
    own = wm.KVSpan(*[jnp.ones(spec.shape(1, spec.chunk_tokens))] * 2)
    recall, remember = jax.jit(wm.recall), jax.jit(wm.remember)
    picked, path = [], []
    for chunk in inputs(variant, [keys]):
        _, picks = recall(world, chunk.cameras)
        picked.append(np.asarray(picks.chunks)[0, : int(picks.count)])
        path.append(np.asarray(chunk.cameras[0]))
        world = remember(world, own, chunk.cameras)
    return picked, np.stack(path)


def heading_apart(a, b):
    """Degrees between the middle views of two chunks."""
    return np.rad2deg(pose_distance(a[1], b[1])[1])


@pytest.mark.parametrize(("variant", "right", "left"), [(UNIVERSAL, "l", "j"), (GTA_DRIVE, "d", "a")])
def test_a_turn_all_around_and_back_retrieves_what_saw_the_same_heading(variant, right, left):
    """Twenty chunks turn by 360 degrees, eighteen each, and twenty turn back; by the distance alone."""
    keys = [right] * 20 + [left] * 20
    memory = default_memory(variant, chunks=len(keys))
    exact = dataclasses.replace(memory.retrieval.rule, tolerance=0.0)
    memory = dataclasses.replace(memory, retrieval=dataclasses.replace(memory.retrieval, rule=exact, chunks=6))
    picked, path = walk(variant, keys, memory)
    for chunk in range(22, 40):
        mirror = 39 - chunk  # was where this chunk is, on the way there
        assert heading_apart(path[chunk], path[mirror]) < 10
        candidates = range(1, chunk - 1)
        apart = {c: heading_apart(path[chunk], path[c]) for c in candidates}
        nearest = sorted(candidates, key=apart.get)[: len(picked[chunk])]
        worst = max(apart[c] for c in nearest)
        assert all(apart[c] <= worst + 1e-2 for c in picked[chunk])
        assert {mirror} - {0} <= set(picked[chunk].tolist())


@pytest.mark.parametrize(("variant", "right", "left"), [(UNIVERSAL, "l", "j"), (GTA_DRIVE, "d", "a")])
def test_by_default_the_oldest_of_nearly_equal_headings_comes_first(variant, right, left):
    """Round and round: each heading is seen once in every turn, and the first time counts."""
    keys = [right] * 60 + [left]
    picked, path = walk(variant, keys, default_memory(variant, chunks=len(keys)))
    for chunk in range(25, 60):
        first_seen = chunk % 20  # chunk 0 is the sink, which is always seen
        assert heading_apart(path[chunk], path[first_seen]) < 1
        if first_seen > 0:
            assert picked[chunk][0] == first_seen
        assert all(heading_apart(path[chunk], path[c]) < 40 for c in picked[chunk])


def test_a_walk_there_and_back_retrieves_what_was_seen_from_there():
    keys = ["w"] * 10 + ["s"] * 10
    picked, path = walk(UNIVERSAL, keys, default_memory(UNIVERSAL, chunks=len(keys)))
    for chunk in range(15, 19):
        distance = {c: np.linalg.norm(path[chunk][1, :3, 3] - path[c][1, :3, 3]) for c in range(1, chunk - 1)}
        assert min(distance, key=distance.get) == picked[chunk][0]


def test_worlds_with_the_same_picture_have_the_same_actions():
    begins = Scene(np.stack([np.full((1, 2, 2, 20), number, np.float32) for number in (1, 2)]), np.zeros((2, 5, 24)))
    given = {field.name: None for field in dataclasses.fields(Program)} | {"variant": UNIVERSAL, "units": MotionUnits()}
    (chunk,) = Program(**given).inputs(begins, ["W1", "D1"], worlds=4)
    assert chunk.conditions.image[:, 0, 0, 0, 0].tolist() == [1, 1, 2, 2]
    keys = np.asarray(chunk.conditions.keyboard)
    np.testing.assert_array_equal(keys[[0, 2]], keys[[1, 3]])
    assert np.any(keys[0] != keys[2])
