"""Parameters on disk: an Orbax checkpoint with the same bytes whatever the order of writing."""

import json

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest

from checkpoints import layout
from checkpoints.layout import ArrayPlan, StoredArray, array_folder, write_tree

BF16 = np.dtype(ml_dtypes.bfloat16)


STAGING = np.empty(layout.PIECE_BYTES, np.uint8)


def nothing(_):
    pass


@pytest.mark.parametrize(
    ("shape", "stacked", "piece"),
    [
        ((), False, ()),
        ((5,), False, (5,)),
        ((40, 5), True, (1, 5)),
        ((41, 10, 5), False, (21, 10, 5)),
        ((40, 10, 5), True, (1, 10, 5)),
        ((7, 300), False, (4, 300)),  # evenly
        ((3, 3000), False, (1, 1000)),
        ((3, 3, 3, 30, 30), False, (1, 1, 2, 30, 30)),
        ((2, 0), True, (1, 1)),
    ],
)
def test_pieces(monkeypatch, shape, stacked, piece):
    monkeypatch.setattr(layout, "PIECE_BYTES", 4000)
    plan = ArrayPlan.create(shape, BF16 if shape != (3, 3000) else np.float32, stacked=stacked)
    assert plan.piece == piece
    assert plan.file_bytes <= 4004 and plan.nbytes == len(plan.files) * plan.file_bytes
    assert ArrayPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int64", "bool"])
def test_arrays_come_back(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(layout, "PIECE_BYTES", 100)
    from checkpoints.tensors import DTYPES

    values = np.random.default_rng(0).integers(0, 2, (3, 17, 5)).astype(DTYPES[dtype])
    values[0, 0, 0] = 0
    plan = ArrayPlan.create(values.shape, values.dtype, stacked=True)
    array = StoredArray(tmp_path, "a/b", plan, create=True)
    for layer in (2, 0, 1):
        array.write(np.asfortranarray(values[layer]), layer, STAGING, nothing)
    np.testing.assert_array_equal(StoredArray(tmp_path, "a/b", plan).read(), values)
    np.testing.assert_array_equal(StoredArray(tmp_path, "a/b", plan).read(1), values[1])
    files = {file.name: file.stat().st_size for file in array_folder(tmp_path, "a/b").iterdir()}
    assert files.pop("zarr.json") and files == dict.fromkeys(plan.files, plan.file_bytes)


def test_the_same_bytes_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "PIECE_BYTES", 100)
    values = np.random.default_rng(0).standard_normal((4, 30, 5)).astype(np.float32)
    plan = ArrayPlan.create(values.shape, values.dtype, stacked=True)
    for name, order in (("a", [0, 1, 2, 3]), ("b", [3, 1, 1, 0, 2, 3])):
        array = StoredArray(tmp_path / name, "w", plan, create=True)
        for layer in order:
            array.write(values[layer], layer, STAGING, nothing)
    a, b = ({file.name: file.read_bytes() for file in (tmp_path / name / "w").iterdir()} for name in "ab")
    assert a == b


def test_orbax_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "PIECE_BYTES", 100)
    tree = {
        "blocks": {"w": np.random.default_rng(0).standard_normal((8, 6, 5)).astype(BF16)},
        "scale": np.zeros((), np.float32),
        "list": {"0": np.ones(3, np.float32)},
    }
    flat = {"blocks/w": tree["blocks"]["w"], "scale": tree["scale"], "list/0": tree["list"]["0"]}
    for path, values in flat.items():
        StoredArray(tmp_path, path, ArrayPlan.create(values.shape, values.dtype, stacked=False), create=True).write(
            values, None, STAGING, nothing
        )
    write_tree(tmp_path, flat)
    with ocp.StandardCheckpointer() as checkpointer:
        for restored in (checkpointer.restore(tmp_path), ocp.PyTreeCheckpointer().restore(tmp_path)):
            jax.tree.map(np.testing.assert_array_equal, restored, tree)
        mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
        rows = jax.sharding.NamedSharding(mesh, jax.P("x"))
        all_of_it = jax.sharding.NamedSharding(mesh, jax.P())
        like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, np.float32, sharding=all_of_it), tree)
        like["blocks"]["w"] = jax.ShapeDtypeStruct((8, 6, 5), np.float32, sharding=rows)
        restored = checkpointer.restore(tmp_path, like)
    assert restored["blocks"]["w"].sharding == rows
    np.testing.assert_array_equal(restored["blocks"]["w"], tree["blocks"]["w"].astype(np.float32))


@pytest.fixture(params=[True, False], ids=["plain", "tensorstore"])
def stored(tmp_path, monkeypatch, request):
    if not request.param:
        monkeypatch.setattr(layout, "google_crc32c", None)
    elif layout.google_crc32c is None:
        pytest.skip("google-crc32c is not installed")
    plan = ArrayPlan.create((2, 4), np.float32, stacked=True)
    array = StoredArray(tmp_path, "w", plan, create=True)
    for layer in range(2):
        array.write(np.zeros(4, np.float32), layer, STAGING, nothing)  # zeros are stored too
    return tmp_path, plan


def test_a_missing_file_is_an_error_and_not_zeros(stored):
    folder, plan = stored
    (folder / "w" / "c.1.0").unlink()
    np.testing.assert_array_equal(StoredArray(folder, "w", plan).read(0), np.zeros(4))
    with pytest.raises(ValueError, match=r"w is damaged: .*c.1.0.* is missing; convert again"):
        StoredArray(folder, "w", plan).read(1)
    with pytest.raises(ValueError, match="is damaged"):
        StoredArray(folder, "w", plan).verify(nothing)


def test_flipped_bits_are_an_error(stored):
    folder, plan = stored
    data = bytearray((folder / "w" / "c.0.0").read_bytes())
    data[5] ^= 1
    (folder / "w" / "c.0.0").write_bytes(data)
    with pytest.raises(ValueError, match=r"w is damaged: .*c.0.0"):
        StoredArray(folder, "w", plan).read()


def test_a_file_of_another_length_is_an_error(stored):
    folder, plan = stored
    file = folder / "w" / "c.0.0"
    content = file.read_bytes()
    for wrong in (content[:-1], b"\1" + content):
        file.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"w is damaged: .*c.0.0"):
            StoredArray(folder, "w", plan).read()


def test_reading_where_it_is_wanted(stored):
    folder, plan = stored
    for dtype in (np.float32, BF16):
        out = np.ones((2, 4), dtype)
        StoredArray(folder, "w", plan).read(1, out=out[1])
        np.testing.assert_array_equal(out, [[1] * 4, [0] * 4])


def test_another_array_than_planned_is_an_error(stored):
    folder, _ = stored
    with pytest.raises(ValueError, match="not the array that was written there"):
        StoredArray(folder, "w", ArrayPlan.create((3, 4), np.float32, stacked=True))
    with pytest.raises(ValueError, match="not the array that was written there"):
        StoredArray(folder, "nowhere", ArrayPlan.create((3, 4), np.float32, stacked=True))


def test_a_disk_that_cannot_be_written(stored, monkeypatch):
    folder, plan = stored
    array = StoredArray(folder, "w", plan)
    for file in ("c.0.0", "c.1.0"):
        (folder / "w" / file).unlink()
        (folder / "w" / file).mkdir()
    with pytest.raises(OSError, match=r"cannot write .*w"):
        array.write(np.ones(4, np.float32), 0, STAGING, nothing)
