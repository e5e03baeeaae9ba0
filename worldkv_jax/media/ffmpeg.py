"""The ffmpeg that imageio-ffmpeg brings along: how it is called, and what it says."""

import os
import re
from fractions import Fraction
from typing import BinaryIO

import imageio_ffmpeg

# "[h264 @ 0x55cd5fdd2e80] [error] Invalid NAL unit size"; a message may be repeated, with other addresses.
_LEVEL = re.compile(r"(?:\[[^\]]* @ \w+\] )*\[(error|fatal|panic|warning)\] (.*)")


def program() -> str:
    """Return the path of ffmpeg.

    Raises:
        OSError: there is none for this machine.
    """
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise OSError(f"no ffmpeg for videos: {error}; set IMAGEIO_FFMPEG_EXE to one") from None


def as_url(path: str | os.PathLike[str]) -> str:
    """Return a path so that ffmpeg takes it for nothing else: ``a:b`` is a protocol to it, ``-a`` an option."""
    return "file:" + os.path.abspath(path)


def as_rate(fps: float) -> str:
    """Return frames a second as the fraction that is meant: 23.976023976 is 24000/1001."""
    return str(Fraction(fps).limit_denominator(100_100))


def complaints(log: BinaryIO) -> list[str]:
    """Return the errors of a log at ``level+info``, and warnings of damage, each once.

    Args:
        log: what ffmpeg wrote, read from its beginning.
    """
    log.seek(0)
    found = (_LEVEL.match(line) for line in log.read().decode(errors="replace").splitlines())
    said = [match[2].strip() for match in found if match and (match[1] != "warning" or "corrupt" in match[2].lower())]
    return list(dict.fromkeys(said))
