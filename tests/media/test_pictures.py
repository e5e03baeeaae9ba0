"""Pictures as people have them: upright, of any depth and mode; what cannot be read right is refused by name."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from worldkv_jax.media import read_picture

RAMP = np.tile(np.linspace(0, 1, 48), (32, 1))
COLOURS = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def save(path, pixels, **keywords):
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **keywords)
    return path


def test_a_picture_of_eight_bits_is_read_as_it_is(tmp_path):
    np.testing.assert_array_equal(read_picture(save(tmp_path / "a.png", COLOURS)), COLOURS)
    grey = read_picture(save(tmp_path / "grey.png", COLOURS[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(COLOURS[..., :1], 3, -1))


def test_sixteen_bits_are_scaled(tmp_path):
    """They were clipped at 255: a ramp came out almost white."""
    path = save(tmp_path / "deep.png", np.rint(RAMP * 65535).astype(np.uint16))
    np.testing.assert_array_equal(read_picture(path)[..., 1], np.rint(np.rint(RAMP * 65535) / 257))
    whole = save(tmp_path / "deep.tif", np.rint(RAMP * 65535).astype(np.int32))
    np.testing.assert_array_equal(read_picture(whole), read_picture(path))


def test_fractions_of_white_are_scaled_and_other_numbers_refused(tmp_path):
    """A float TIFF came out black."""
    path = save(tmp_path / "a.tif", RAMP.astype(np.float32))
    np.testing.assert_array_equal(read_picture(path)[..., 0], np.rint(RAMP.astype(np.float32) * 255))
    for numbers, said in ((RAMP * 7, "from 0 to 7, expected 0 to 1"), (RAMP * np.nan, "from nan")):
        with pytest.raises(ValueError, match=rf"a\.tif has floating numbers {said}"):
            read_picture(save(path, numbers.astype(np.float32)))
    with pytest.raises(ValueError, match=r"a\.tif has whole numbers from -5 .*expected 16 bits"):
        read_picture(save(path, (RAMP * 70000 - 5).astype(np.int32)))


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 1), (8, 3)])
def test_a_picture_that_lies_on_its_side_is_turned(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "phone.png", np.rot90(COLOURS, turn).copy(), exif=exif)
    np.testing.assert_array_equal(read_picture(path), COLOURS)
    np.testing.assert_array_equal(read_picture(path, upright=False), np.rot90(COLOURS, turn))


def test_what_is_transparent_shows_the_background(tmp_path):
    """The colours hidden below it came out."""
    hidden = np.dstack([COLOURS, np.zeros((32, 48), np.uint8)])
    hidden[:16, :, 3] = 255
    path = save(tmp_path / "cutout.png", hidden)
    np.testing.assert_array_equal(read_picture(path)[:16], COLOURS[:16])
    assert (read_picture(path)[16:] == 255).all()
    assert (read_picture(path, background=(1, 2, 3))[16:] == (1, 2, 3)).all()
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([9, 9, 9, 200, 100, 50])
    np.testing.assert_array_equal(
        read_picture(save(tmp_path / "p.png", palette, transparency=0)), [[[255] * 3, [200, 100, 50]]]
    )


def test_other_colours_become_red_green_and_blue(tmp_path):
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    pixel = read_picture(save(tmp_path / "print.jpg", cmyk, quality=100))[0, 0]
    np.testing.assert_allclose(pixel, [255, 0, 0], atol=3)
    np.testing.assert_array_equal(read_picture(save(tmp_path / "a.bmp", Image.new("1", (4, 4), 1))), 255)


@pytest.mark.parametrize(
    ("profile", "told"), [(b"desc\0sRGB built-in", False), ("Display P3".encode("utf-16-be"), True)]
)
def test_colours_of_another_profile_are_told(tmp_path, profile, told):
    save(tmp_path / "a.png", COLOURS, icc_profile=profile)
    notes = []
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", tell=notes.append), COLOURS)
    assert [f"{tmp_path / 'a.png'} has a colour profile that is not sRGB" in note for note in notes] == [True] * told


def test_the_name_does_not_decide_what_a_file_is(tmp_path):
    for kind in ("JPEG", "WEBP"):
        assert read_picture(save(tmp_path / "a.png", COLOURS, format=kind)).shape == COLOURS.shape


def test_of_a_moving_picture_the_first_frame_counts_and_that_is_said(tmp_path):
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    path = save(tmp_path / "a.png", frames[0], save_all=True, append_images=frames[1:])
    said = []
    np.testing.assert_array_equal(read_picture(path, tell=said.append), COLOURS)
    assert said == [f"{path} has 2 frames; the first one is used"]
    with pytest.warns(UserWarning, match="has 2 frames"):
        read_picture(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file; get it again"),
        (b"hello", "of no kind known here"),
        (b"\0" * 100, "a file of zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "a HEIC picture"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 40, "an MP4 or QuickTime video"),
    ],
)
def test_another_file_is_named_for_what_it_is(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.png is not a picture that can be read: it is .*{message}"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "tif"])
def test_half_a_picture_is_named(tmp_path, kind):
    path = save(tmp_path / f"a.{kind}", COLOURS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"a\.{kind} is not a picture that can be read"):
        read_picture(path)


@pytest.mark.parametrize("size", [(11_000, 10_000), (20_000, 12_000)])
def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, size):
    path = save(tmp_path / "bomb.png", Image.new("1", size))
    with pytest.raises(ValueError, match=r"bomb\.png has more than 100,000,000 pixels; make it smaller"):
        read_picture(path)


def test_nothing_a_folder_or_a_dangling_link(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.png is not there; expected a picture"):
        read_picture(tmp_path / "b.png")
    with pytest.raises(ValueError, match="is a folder, expected a picture"):
        read_picture(tmp_path)
    (tmp_path / "c.png").symlink_to("gone.png")
    with pytest.raises(FileNotFoundError, match=r"c\.png is a link to gone\.png, which is not there"):
        read_picture(tmp_path / "c.png")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]), data=st.data())
def test_damage_never_passes_as_a_defect_of_the_program(tmp_path, kind, data):
    file = io.BytesIO()
    Image.fromarray(COLOURS[:8, :8]).save(file, kind)
    content = bytearray(file.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        pixels = read_picture(path, tell=lambda _: None)
    except ValueError as error:
        assert "damaged" in str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
