"""A model folder to convert, and how to compare folders."""

import os

import pytest

from checkpoints import drafts, layout
from tests.checkpoints.formats import write_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """The small model, bfloat16; do not change it."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


def contents(folder):
    """Return the bytes of all files of a folder by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True, scope="session")
def quick_disk():
    """Do not wait for the disk."""
    spec = layout._spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_spec", lambda *a, **k: spec(*a, **k) | {"context": {"file_io_sync": False}})
        patch.setattr(drafts, "_sync", lambda path: os.stat(path))
        yield


@pytest.fixture
def small_pieces(monkeypatch):
    """Cut arrays into many small files."""
    monkeypatch.setattr(layout, "PIECE_BYTES", 64)
