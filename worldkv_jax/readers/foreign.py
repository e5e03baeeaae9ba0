"""Name a file by its first bytes, so that an error can say what was found where something else was expected."""

import os
from pathlib import Path

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; download it with git lfs pull"),
    (b"/annex/objects/", "a pointer of git-annex, not the file itself; get it with git annex get"),
    (b"../.git/annex/", "a pointer of git-annex, not the file itself; get it with git annex get"),
    (b"\0\5\x16\7", "an AppleDouble file, which macOS writes beside the real one (its name begins with ._)"),
    (b"<!doctype html", "a web page, not the file itself; the download went wrong"),
    (b"<html", "a web page, not the file itself; the download went wrong"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"PK\3\4", "a zip archive, such as .npz or a PyTorch file"),
    (b"PK\5\6", "an empty zip archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", "an RTF document; save it as plain text"),
    (b"\xd0\xcf\x11\xe0", "a document of an older Office program"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"<svg", "an SVG drawing"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"II*\0", "a TIFF picture or a camera's raw file"),
    (b"MM\0*", "a TIFF picture or a camera's raw file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file of quantised weights"),
)
_BRANDS = {b"heic": "a HEIC picture", b"heix": "a HEIC picture", b"mif1": "a HEIF picture", b"avif": "an AVIF picture"}
_LONGEST = 4096


def what_it_is(path: str | os.PathLike[str]) -> str | None:
    """Name the kind of a file by its first bytes.

    Returns:
        Words such as ``"a PNG picture"`` that end a sentence, with advice where the file is only a stand-in for
        another; ``None`` where nothing is recognised.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(_LONGEST)
    if not start:
        return "an empty file; get it again"
    if not any(start):
        return "a file of zeros, as a broken download or copy leaves it; get it again"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "an MP4 or QuickTime video")
    if start.startswith(b"RIFF"):
        return "a WebP picture" if start[8:12] == b"WEBP" else "an AVI video or a sound"
    lowered = start.lstrip().lower()
    for magic, name in _STARTS:
        if start.startswith(magic) or (magic.startswith(b"<") and lowered.startswith(magic)):
            return name
    return None


def check_file(path: str | os.PathLike[str], what: str) -> Path:
    """Return a path if a regular file is there.

    Args:
        path: of the file.
        what: is expected, with its article: ``"a picture"``.

    Raises:
        FileNotFoundError: there is nothing, or a link leads to nothing.
        ValueError: a folder or a device is there.
    """
    path = Path(path)
    if os.path.isfile(path):  # not Path.is_file, which raises where a text is too long to be a path
        return path
    if os.path.islink(path) and not os.path.exists(path):
        raise FileNotFoundError(f"{path} is a link to {os.readlink(path)}, which is not there; expected {what}")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, expected {what}")
    if os.path.exists(path):
        raise ValueError(f"{path} is not a regular file, expected {what}")
    raise FileNotFoundError(f"{path} is not there; expected {what}")
