"""Files of actions as people have them: other suffixes and encodings, and damage."""

import numpy as np
import pytest

from ports.matrix_game2.action_sources import read_actions
from ports.matrix_game2.actions import rows_of_keys
from ports.matrix_game2.variants import UNIVERSAL

WANT = rows_of_keys(UNIVERSAL, ["w", "wl"])


@pytest.mark.parametrize("name", ["walk", "walk.md", "walk.TXT"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_scripts_in_files_of_any_name_and_marked_encoding(name, encoding, tmp_path):
    (tmp_path / name).write_text("W  # ahead, dann weiter über die Brücke\r\nWL", encoding=encoding)
    np.testing.assert_array_equal(read_actions(UNIVERSAL, str(tmp_path / name)).keyboard, WANT.keyboard)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("walk.txt", bytes(range(128, 256)), "is no text that can be read"),
        ("walk.npz", b"", "an empty file"),
        ("walk.npz", b"PK\3\4 and then nothing", "cannot be read as arrays"),
        ("walk.npz", b"W2 Q", "cannot be read as arrays"),
        ("walk.safetensors", b"W2 Q", "cannot be read as arrays"),
        ("walk.safetensors", bytes(100), "a file of zeros"),
    ],
)
def test_damaged_files_are_named(name, data, says, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name}.*{says}"):
        read_actions(UNIVERSAL, str(tmp_path / name))


def test_a_cut_archive_is_named(tmp_path):
    path = tmp_path / "walk.npz"
    np.savez(path, keyboard=WANT.keyboard, mouse=WANT.mouse)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match="cannot be read as arrays"):
            read_actions(UNIVERSAL, str(path))
    path.write_bytes(whole[:200] + bytes(100) + whole[300:])
    with pytest.raises(ValueError, match="cannot be read as arrays"):
        read_actions(UNIVERSAL, str(path))


def test_a_folder_is_no_script(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_actions(UNIVERSAL, str(tmp_path))
