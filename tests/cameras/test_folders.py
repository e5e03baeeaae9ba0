"""Camera folders: round trip, refusals, and writes that are whole or nothing."""

import io

import numpy as np
import pytest

from worldkv_jax.cameras import DEFAULT_INTRINSICS, CameraTrack, folders, read_track, trajectory, write_track


@pytest.fixture
def track():
    return CameraTrack(trajectory("W_R10"), DEFAULT_INTRINSICS)


def test_round_trip(tmp_path, track):
    folder = write_track(tmp_path / "deep" / "cams", track)
    assert sorted(path.name for path in folder.iterdir()) == ["intrinsics.npy", "poses.npy"]
    assert np.load(folder / "poses.npy").dtype == np.float32
    back = read_track(folder)
    np.testing.assert_array_equal(back.poses, track.poses)
    np.testing.assert_allclose(back.intrinsics, track.intrinsics, rtol=1e-6)
    assert len(back) == len(track) == len(back.intrinsics)


def test_one_row_of_intrinsics_serves_all_frames(tmp_path, track):
    write_track(tmp_path / "cams", track)
    np.save(tmp_path / "cams" / "intrinsics.npy", np.array(DEFAULT_INTRINSICS))
    np.testing.assert_array_equal(read_track(tmp_path / "cams").intrinsics, track.intrinsics)


def test_a_missing_file_is_named_with_what_is_there(tmp_path, track):
    with pytest.raises(FileNotFoundError, match=r"poses\.npy is missing \(the folder does not exist\)"):
        read_track(tmp_path / "nowhere")
    np.save(tmp_path / "R90_poses.npy", track.poses)
    with pytest.raises(FileNotFoundError, match=r"the folder has R90_poses\.npy\); a camera folder holds"):
        read_track(tmp_path)


def _bytes_of(array, **kwargs):
    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


def _archive():
    file = io.BytesIO()
    np.savez(file, poses=np.eye(4))
    return file.getvalue()


def _header_only(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a .npy array"),
        (b"not an array", "cannot be read as a .npy array"),
        (_bytes_of(np.array([{}], dtype=object), allow_pickle=True), "cannot be read as a .npy array"),
        (_bytes_of(np.eye(4)[None])[:-8], "cannot be read as a .npy array"),
        (_header_only((10**15, 4, 4)), "cannot be read as a .npy array"),
        (_archive(), "is a .npz archive"),
        (_bytes_of(np.array(["x"])), "expected real numbers"),
        (_bytes_of(np.zeros((5, 4, 4), complex)), "expected real numbers"),
        (_bytes_of(np.zeros((5, 3, 3))), r"camera folder .*: poses: got shape \(5, 3, 3\)"),
        (_bytes_of(np.full((5, 4, 4), np.nan)), r"camera folder .*: poses\[0\]: entry \(0, 0\) is nan"),
        (_bytes_of(np.tile(np.eye(4), (3, 1, 1))), "rows for 3 poses"),
    ],
)
def test_bad_files_are_refused(tmp_path, track, content, message):
    folder = write_track(tmp_path / "cams", track)
    (folder / "poses.npy").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_track(folder)


def test_a_path_longer_than_allowed_is_refused_by_its_header(tmp_path, track):
    folder = write_track(tmp_path / "cams", track)
    with pytest.raises(ValueError, match="holds more numbers than 10 frames have; pass max_frames"):
        read_track(folder, max_frames=10)


def test_existing_cameras_are_replaced_only_when_asked_and_other_files_stay(tmp_path, track):
    folder = write_track(tmp_path / "cams", track)
    (folder / "prompt.txt").write_text("a house")
    longer = CameraTrack(trajectory("R90"), DEFAULT_INTRINSICS)
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        write_track(folder, longer)
    write_track(folder, longer, overwrite=True)
    assert len(read_track(folder)) == 45 and (folder / "prompt.txt").read_text() == "a house"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("exists", [False, True])
def test_a_write_that_fails_leaves_nothing_behind(tmp_path, track, monkeypatch, exists):
    folder = tmp_path / "cams"
    if exists:
        write_track(folder, track)
    save = np.save

    def full_disk(file, array, **kwargs):
        if array.ndim == 2:
            raise OSError("disk full")
        save(file, array, **kwargs)

    monkeypatch.setattr(folders.np, "save", full_disk)
    with pytest.raises(OSError, match="disk full"):
        write_track(folder, CameraTrack(trajectory("R90"), DEFAULT_INTRINSICS), overwrite=True)
    assert list(tmp_path.iterdir()) == ([folder] if exists else [])
    if exists:
        assert len(read_track(folder)) == len(track)
