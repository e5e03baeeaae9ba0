"""Every model opened from Python: checked, loaded, streamed; as its command does, and the same on a mesh."""

import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, SingleDeviceSharding
from PIL import Image

from ports.inspatio_world.source.builtin_scene import builtin_scene
from ports.inspatio_world.source.scene_files import write_scene
from tests.inspatio_world import released_folder as inspatio
from tests.lingbot_world import released_folder as lingbot
from tests.lingbot_world.test_camera_folder import write as write_cameras
from tests.matrix_game2 import released_folder as matrix
from worldkv_jax import cameras, open_model
from worldkv_jax.cli.main import main
from worldkv_jax.memory import MemoryConfig
from worldkv_jax.sessions import MemoryOptions, model_names

CHUNKS = {"demo-world": 5, "inspatio-world": 3, "lingbot-world-fast": 3, "matrix-game-2": 3}
MARKS = {"demo-world": (), "matrix-game-2": pytest.mark.long}
each_model = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, pytest.mark.slow)) for name in sorted(CHUNKS)]
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Model folders as released, a picture, a camera folder."""
    folder = tmp_path_factory.mktemp("models")
    lingbot.write_folder(folder / "lingbot")
    matrix.write_folder(folder / "matrix")
    inspatio.write_folder(folder / "inspatio")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    write_cameras(folder / "path", poses=40)
    return folder


def asked(name: str, place) -> dict[str, str]:
    """Return the options of a rollout of `CHUNKS` from a folder in the released layout."""
    picture, small = str(place / "picture.png"), {"size": "32x48", "dtype": "float32"}
    return {
        "demo-world": {"trajectory": "R60_L60"},
        "inspatio-world": small
        | {"ckpt": str(place / "inspatio"), "scene": "builtin", "prompt": "a red door", "frames": "33"},
        "lingbot-world-fast": small
        | {"ckpt": str(place / "lingbot"), "image": picture, "prompt": "a red door", "trajectory": str(place / "path")}
        | {"frames": "33"},
        "matrix-game-2": small | {"ckpt": str(place / "matrix"), "image": picture, "actions": "W L2"},
    }[name]


def typed(options: dict[str, str]) -> dict:
    """Return options as Python has them."""
    return {name: int(value) if name == "frames" else value for name, value in options.items()}


MEMORY = MemoryOptions(memory="worldkv", retrieve=1)


@pytest.fixture(scope="module")
def latents(place):
    """Latents of every model opened from Python, as its weights lie in the released files."""

    @dataclasses.dataclass
    class Made:
        known: dict = dataclasses.field(default_factory=dict)

        def __call__(self, name):
            if name not in self.known:
                session = open_model(name, **typed(asked(name, place))).check(MEMORY, decode=False)
                assert session.loaded is None and session.chunks == CHUNKS[name]
                self.known[name] = run(session.load())
            return self.known[name]

    return Made()


def run(session, worlds=None, **options):
    """Stream a session: latents ``[B, F, ...]`` and what each chunk recalled."""
    chunks = list(session.stream(session.start(worlds=worlds), seed=0, **options))
    return np.concatenate([chunk.latents for chunk in chunks], axis=1), [chunk.retrieved.tolist() for chunk in chunks]


def test_all_models_are_known():
    assert model_names() == sorted(CHUNKS)


@each_model
def test_python_and_the_command_make_the_same(name, place, latents, tmp_path):
    flags = [word for option, value in asked(name, place).items() for word in (f"--{option}", value)]
    flags += ["--memory", "worldkv", "--retrieve", "1", "--no-decode", "--latents", "--out", str(tmp_path)]
    assert main(["rollout", name, *flags]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "latents.npy"), latents(name)[0])


@pytest.mark.long
@each_model
def test_a_mesh_picks_and_makes_the_same(name, place, latents):
    """Two worlds over two devices, heads over two; PAPER, whose tokens are chosen by keys of all heads."""
    memory = MemoryOptions(profile="paper", retrieve=1)
    mesh = jax.make_mesh((2, 2), ("data", "model"), devices=jax.devices()[:4], axis_types=(AxisType.Auto,) * 2)
    options = typed(asked(name, place))
    session = open_model(name, **options).check(memory, decode=False)
    want, picks = run(session.load(), worlds=2)
    split = session.load(mesh)
    sharded = [leaf for leaf in jax.tree.leaves(split.params) if not leaf.sharding.is_fully_replicated]
    assert sharded and all(len(leaf.devices()) == 4 for leaf in jax.tree.leaves(split.params))
    got, split_picks = run(split, worlds=2)
    assert split_picks == picks
    np.testing.assert_allclose(got, want, atol=2e-4)


def test_weights_lie_where_one_says():
    device = jax.devices()[3]
    session = open_model("demo-world", trajectory="R40").check().load(SingleDeviceSharding(device))
    assert {d for leaf in jax.tree.leaves(session.params) for d in leaf.devices()} == {device}
    chunk = next(session.stream(session.start()))
    assert chunk.latents.devices() == {device} and np.isfinite(chunk.frames).all()


@pytest.mark.long
def test_cameras_that_come_live_are_those_of_a_path(place):
    """Asked for chunk by chunk; LingBot-World is told its fastest motion, which it cannot measure ahead."""
    options = typed(asked("lingbot-world-fast", place))
    session = open_model("lingbot-world-fast", **options | {"translation_scale": 0.1}).check(MEMORY, decode=False)
    session = session.load()
    known = session.inputs()
    chunks = [np.asarray(chunk.cameras[0]) for chunk in known]
    live = session.inputs(lambda chunk: chunks[chunk] if chunk < len(chunks) else None)
    want, picks = run(session, inputs=known)
    got, live_picks = run(session, inputs=live)
    assert picks == live_picks
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_live_cameras_need_what_cannot_be_measured(place):
    options = typed(asked("lingbot-world-fast", place)) | {"trajectory": "-"}
    session = open_model("lingbot-world-fast", **options).check(MEMORY, decode=False).load()
    with pytest.raises(ValueError, match="`translation_scale`"):
        session.inputs(lambda chunk: None)
    with pytest.raises(ValueError, match="cameras come live"):
        session.inputs()


@pytest.mark.long
@pytest.mark.parametrize("frames", [pytest.param(1, marks=pytest.mark.slow), 33])
def test_a_scene_is_filmed_live_as_along_a_path(frames, tmp_path):
    """The cameras of a whole path (v1.5), given one chunk at a time: a still image, or a video that lasts as long."""
    scene = builtin_scene(frames=frames, size=(32, 48))
    write_scene(tmp_path / "scene", scene)
    latent = np.stack([scene.poses[0]] * 9)
    latent[:, 0, 3] += 0.02 * np.arange(9)
    path = cameras.interpolate(latent, np.arange(9), np.linspace(0, 8, 33), dtype=np.float64)
    np.savetxt(tmp_path / "path.txt", cameras.inverse(path).reshape(-1, 16))
    options = {"scene": str(tmp_path / "scene"), "tiny": True, "size": (32, 48), "version": "v1.5"}
    known = open_model("inspatio-world", **options, trajectory=str(tmp_path / "path.txt")).check(MEMORY, decode=False)
    live = open_model("inspatio-world", **options, trajectory="-", frames=33).check(MEMORY, decode=False)
    assert live.chunks == known.chunks == 3
    known, live = known.load(), live.load()
    want = known.inputs()
    got = live.inputs(lambda chunk: latent[3 * chunk : 3 * chunk + 3] if chunk < 3 else None)
    for chunk, (a, b) in enumerate(zip(got, want, strict=True)):
        for part, one, other in zip(a.conditions._fields, a.conditions, b.conditions, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3, err_msg=f"{part} of chunk {chunk}")
        np.testing.assert_allclose(a.cameras, b.cameras, atol=1e-5)
    with pytest.raises(ValueError, match="cameras come live"):
        live.inputs()


def test_the_demo_world_takes_paths_and_people():
    session = open_model("demo-world", trajectory="R40").check(MemoryConfig(mode="sliding")).load()
    poses = cameras.trajectory("L60", degrees_per_frame=10.0)[:6]
    want, _ = run(session, inputs=session.inputs(poses))
    got, _ = run(session, inputs=session.inputs(lambda chunk: poses[3 * chunk : 3 * chunk + 3] if chunk < 2 else None))
    np.testing.assert_allclose(got, want, atol=1e-5)
    two, _ = run(session, inputs=session.inputs(poses, worlds=2), worlds=2)
    assert two.shape == (2, *want.shape[1:])
    with pytest.raises(ValueError, match="got cameras of shape"):
        next(session.inputs(lambda chunk: poses[:2]))


def test_a_session_says_what_it_is():
    session = open_model("matrix-game-2", tiny=True, size=(32, 32), chunks=2).check()
    said = repr(session)
    assert "RANDOM WEIGHTS" in said and "2 chunks under worldkv memory" in said and "not published" in said
    with pytest.raises(ValueError, match="take what its load"):
        session.start()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("demo-wrld", {}, "did you mean 'demo-world'"),
        ("demo-world", {"trajectry": "R40"}, "unknown option of demo-world 'trajectry'; did you mean 'trajectory'"),
        ("matrix-game-2", {"variant": "univrsal"}, "unknown `variant` 'univrsal'; did you mean 'universal'"),
        ("lingbot-world-fast", {"dtype": "float16"}, "unknown `dtype` 'float16'"),
    ],
)
def test_names_that_are_not_there(name, options, says):
    with pytest.raises(ValueError, match=says):
        open_model(name, **options)


def test_what_is_missing_is_named_as_in_python():
    with pytest.raises(ValueError, match=r"^`image`, `prompt`, `trajectory` missing; or give `random_weights`"):
        open_model("lingbot-world-fast", ckpt="x").check()


def test_a_memory_by_its_name_alone_is_refused():
    with pytest.raises(ValueError, match=r"the memory is 'paper', expected MemoryOptions\(\.\.\.\), such as"):
        open_model("demo-world").check("paper")


def test_noise_is_decided_once():
    session = open_model("demo-world", trajectory="R40").check().load()
    with pytest.raises(ValueError, match="give one of seed, key and noise"):
        next(session.stream(session.start(), seed=1, key=jax.random.key(1)))
