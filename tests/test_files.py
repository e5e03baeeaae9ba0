"""Files are written whole or not at all, and what stands in their way is named and left as it is."""

import os

import pytest

from worldkv_jax.files import make_folder, replacing
from worldkv_jax.sessions.results import prepare_output
from worldkv_jax.sessions.world_files import open_files


@pytest.mark.parametrize(
    ("target", "below"), [("nowhere", ""), ("nowhere", "deeper"), ("nowhere", "deeper/still"), ("link", "")]
)
def test_a_link_that_leads_nowhere_is_named(tmp_path, target, below):
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(NotADirectoryError, match=rf"link is a link to {target}, which is not there"):
        make_folder(tmp_path / "link" / below)


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, "/dev/null"):
        with pytest.raises(OSError, match="it is a device or a pipe; give the name of a file"), replacing(place):
            pass
    assert pipe.is_fifo() and [*tmp_path.iterdir()] == [pipe]


@pytest.mark.parametrize("make", [prepare_output, open_files])
def test_an_empty_path_is_not_the_current_folder(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"the path of the .* is empty; give a name"):
        make("")
    assert not any(tmp_path.iterdir())
