"""Texts of any encoding that says what it is, and arguments that may be a text or a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldkv_jax.readers import looks_like_path, read_json, read_text, text_or_file

WORDS = "Straße bei Nacht, 夜\nzweite Zeile"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides(tmp_path, encoding):
    path = tmp_path / "prompt.txt"
    path.write_bytes(WORDS.replace("\n", "\r\n").encode(encoding))
    assert read_text(path) == WORDS


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-32-be"])
def test_the_other_byte_order(tmp_path, encoding):
    path = tmp_path / "prompt.txt"
    path.write_bytes(("\ufeff" + WORDS).encode(encoding))
    assert read_text(path) == WORDS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Straße".encode("latin-1"), "neither UTF-8 nor marked as anything else"),
        ("ab".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"\x89PNG\r\n\x1a\n\xff", "a PNG picture"),
        (b"\xff\xfea", "neither UTF-8"),
        (b"x" * 2_000_000, "2,000,000 bytes, expected a text of at most"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, message):
    (tmp_path / "prompt.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"prompt\.txt .*{message}"):
        read_text(tmp_path / "prompt.txt")


def test_json_in_any_encoding(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('{"a": 1}'.encode("utf-16"))
    assert read_json(path) == {"a": 1}
    for text in ("{", "[" * 100_000, "9" * 5000):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"a\.json is not JSON"):
            read_json(path)


@pytest.mark.parametrize(
    "text", ["prompt.txt", "my prompts/street one.txt", "a/b", "./x y", "~/x", "/a b", "C:\\a b", "image.docx", "a\\b"]
)
def test_what_looks_like_a_path_and_is_not_there_is_an_error(text, tmp_path, monkeypatch):
    """It was taken for the text itself."""
    monkeypatch.chdir(tmp_path)
    assert looks_like_path(text)
    with pytest.raises(FileNotFoundError, match=r"--prompt: no file .*more than one word"):
        text_or_file(text, what="--prompt")


@pytest.mark.parametrize("text", ["street", "a street, and/or a road at 5.30", "R_L90", "10/10 would walk again", "…"])
def test_words_are_words(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text_or_file(f" {text}\n") == text


def test_a_file_that_is_there_is_read(tmp_path, monkeypatch):
    (tmp_path / "prompt.txt").write_bytes("a street\r\n".encode("utf-16"))
    (tmp_path / "street").write_text("a lane")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for argument in (str(tmp_path / "prompt.txt"), "prompt.txt", "~/prompt.txt"):
        assert text_or_file(argument) == "a street"
    assert text_or_file("street") == "a lane"


def test_folders_and_nothing_are_refused(tmp_path):
    (tmp_path / "empty.txt").touch()
    for argument, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "empty.txt", r"empty\.txt is empty"),
        (" ", "empty"),
    ):
        with pytest.raises(ValueError, match=f"--prompt: .*{message}"):
            text_or_file(str(argument), what="--prompt")


@given(st.text(max_size=2000))
def test_any_argument_is_text_or_refused(text):
    try:
        assert text_or_file(text) == text.strip()
    except (ValueError, FileNotFoundError) as error:
        assert str(error)


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused_by_name(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    for read in (read_text, read_json):
        try:
            read(path)
        except ValueError as error:
            assert "any.txt" in str(error)
