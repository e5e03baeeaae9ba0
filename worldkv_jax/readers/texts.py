"""Text from files, whoever wrote them, and arguments that may be a text or the path of one."""

import codecs
import json
import os
import re
from pathlib import Path
from typing import Any

from worldkv_jax.readers.foreign import check_file, what_it_is

TEXT_SUFFIXES = (".txt", ".text", ".md", ".prompt")
"""Of files that hold a text and nothing else."""
MAX_TEXT = 1 << 20
"""Bytes of a prompt or a script; a longer file is another one than was meant."""
MAX_DATA = 64 << 20
"""Bytes of a table of numbers or of JSON."""

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOCAL = re.compile(r"(?:\.{0,2}|~\w*|[A-Za-z]:)[/\\]")  # /a, ./a, ../a, ~/a, C:\a
_SUFFIX = re.compile(r"\.[A-Za-z]\w{0,10}$")


def read_text(path: str | os.PathLike[str], *, limit: int = MAX_TEXT) -> str:
    """Read a text file: a byte order mark decides how (UTF-8, UTF-16 or UTF-32), without one it is UTF-8.

    Args:
        path: of the file.
        limit: most bytes.

    Returns:
        The text without the mark; all line ends are ``\\n``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too long, or no text, or in another encoding; the text names the file.
        OSError: it cannot be read.
    """
    path = check_file(path, "a text file")
    size = path.stat().st_size
    if size > limit:
        raise ValueError(f"{path} has {size:,} bytes, expected a text of at most {limit:,}")
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        found = what_it_is(path) or f"neither UTF-8 nor marked as anything else (byte {error.start}: {error.reason})"
        raise ValueError(f"{path} is no text that can be read: it is {found}. Save it as UTF-8") from None
    if "\0" in text:
        found = what_it_is(path) or "it has zero bytes, as UTF-16 without a byte order mark has; save it as UTF-8"
        raise ValueError(f"{path} is no text that can be read: {found}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file in any encoding that `read_text` knows.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too long or no JSON; the text names the file and the line.
    """
    text = read_text(path, limit=MAX_DATA)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def looks_like_path(text: str) -> bool:
    """Tell whether an argument that names no file was meant as one all the same.

    So does one line that begins like a path (``./a``, ``~/a``, ``C:\\a``), ends in a suffix of text files, or is one
    word with a separator or a suffix.
    """
    text = text.strip()
    if not text or "\n" in text:
        return False
    if _LOCAL.match(text) or text.lower().endswith(TEXT_SUFFIXES):
        return True
    return not re.search(r"\s", text) and (bool(re.search(r"[/\\]", text)) or _SUFFIX.search(text) is not None)


def text_or_file(argument: str, *, what: str = "text") -> str:
    """Return a text that is given as such, or read the file that it is the path of.

    A file that exists is read. What looks like a path (see `looks_like_path`) where no file is, is an error and never
    taken for the text itself.

    Args:
        argument: the text or the path; ``~`` stands for the home folder.
        what: the text is, as the user knows it: ``"--prompt"``.

    Returns:
        The text, without white space around it.

    Raises:
        FileNotFoundError: a path where nothing is.
        ValueError: a folder, or a file that `read_text` refuses, or an empty text.
    """
    path = os.path.expanduser(argument.strip())
    if os.path.isfile(path):
        text, place = read_text(path).strip(), f"{path} is empty"
    elif os.path.isdir(path):
        raise ValueError(f"{what}: {path} is a folder; give the text itself, or a text file")
    elif looks_like_path(argument):
        raise FileNotFoundError(
            f"{what}: no file {Path(path)}; if it was meant as the text itself, give it more than one word"
        )
    else:
        text, place = argument.strip(), "the text is empty"
    if not text:
        raise ValueError(f"{what}: {place}; give some words")
    return text
