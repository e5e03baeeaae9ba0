"""Files damaged at random: one clear error and nothing left behind, or the right weights. Never anything else."""

import shutil

import numpy as np
import pytest

from checkpoints.convert import run_conversion
from checkpoints.layout import StoredArray
from checkpoints.planning import plan_conversion
from tests.checkpoints.formats import FORMAT, write_model

DAMAGES = 520


def damage(rng, data: bytes) -> bytes:
    """Damage bytes in one of the ways that disks, networks and enemies have."""
    data = bytearray(data)
    # Headers are at the start, the directory of an archive at the end: most damage to the rest is only other weights.
    place = int(
        rng.choice([rng.integers(len(data)), rng.integers(min(600, len(data))), -rng.integers(1, min(600, len(data)))])
    )
    place %= len(data)
    length = int(rng.integers(1, 40))
    match rng.integers(8):
        case 0:
            data[place] ^= 1 << int(rng.integers(8))
        case 1:
            for _ in range(length):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        case 2:
            del data[place:]
        case 3:
            del data[place : place + length]
        case 4:
            data[place:place] = rng.bytes(length)
        case 5:
            data[place : place + length] = bytes(len(data[place : place + length]))
        case 6:
            data[place : place + length] = rng.bytes(len(data[place : place + length]))
        case 7:  # a number in a header
            digits = [index for index, byte in enumerate(data[:2000]) if chr(byte).isdigit()]
            data[int(rng.choice(digits or [0]))] = ord(str(rng.integers(10)))
    return bytes(data)


def read_all(out, manifest):
    return {
        (name, path): StoredArray(out / name, path, plan).read().tobytes()
        for name, record in manifest.components.items()
        for path, plan in record.arrays.items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model with one file of each kind, and its weights."""
    folder = write_model(tmp_path_factory.mktemp("damage") / "model", layers=1)
    manifest = run_conversion(plan_conversion(folder, FORMAT), folder.parent / "out")
    return folder, read_all(folder.parent / "out", manifest)


def check(whole, tmp_path, seed):
    """Damage one file and convert; return what came of it."""
    folder, weights = whole
    rng = np.random.default_rng(seed)
    copy, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(folder, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    path = files[seed % len(files)]
    before = path.read_bytes()
    path.write_bytes(damage(rng, before))
    try:
        manifest = run_conversion(plan_conversion(copy, FORMAT), out)
    except (ValueError, OSError) as error:
        assert str(error) and str(copy) in str(error), error
        assert {entry.name for entry in tmp_path.iterdir()} == {"model"}  # no OUT, no draft
        result = "refused"
    else:
        # Safetensors and JSON have no checksums: other data is other data. An archive has them.
        found = read_all(out, manifest)
        assert found.keys() == weights.keys()
        assert path.suffix != ".pth" or found == weights
        result = "same" if found == weights else "other"
        shutil.rmtree(out)
    shutil.rmtree(copy)
    return path.suffix, result


@pytest.mark.long
def test_files_damaged_at_random(whole, tmp_path):
    seen = [check(whole, tmp_path, seed) for seed in range(DAMAGES)]
    assert len(seen) >= 500
    for suffix in (".pth", ".safetensors", ".json"):
        assert seen.count((suffix, "refused")) > 50  # that the damage does reach what is checked
    assert seen.count((".pth", "other")) == 0


@pytest.mark.slow
def test_many_more_files_damaged_at_random(whole, tmp_path):
    for seed in range(DAMAGES, 20 * DAMAGES):
        check(whole, tmp_path, seed)
