"""The memory figure: it can be drawn, its texts do not collide, and wrong input is named."""

import dataclasses

import matplotlib
import numpy as np
import pytest
from PIL import Image

from worldkv_jax.cameras import pose_from_angles
from worldkv_jax.media import MemoryTrace, memory_figure, save_figure
from worldkv_jax.media.traces import phase_runs, pick_highlights

LAP = 8
PHASES = ["tour"] * LAP + ["first revisit"] * LAP + ["late revisit"] * LAP


def make_trace(name, level, retrieves=False):
    chunks = 3 * LAP
    fidelity = np.where(np.arange(chunks) < LAP, np.nan, level - 0.1 * np.arange(chunks))
    views = [(i % LAP, i % LAP + LAP)[: max(0, i // LAP)] if retrieves else () for i in range(chunks)]
    return MemoryTrace(
        name=name,
        fidelity=fidelity,
        attended_tokens=np.minimum(np.arange(chunks), 3) * 144,
        stored_bytes=np.arange(chunks) * 10_000_000,
        retrieved=views,
        window=[(i - 1,) if i else () for i in range(chunks)],
    )


@pytest.fixture
def traces():
    modes = [make_trace(*mode) for mode in (("Full KV", 27.0), ("Sliding window", 16.0), ("Sink + recent", 16.0))]
    return [*modes, make_trace("WorldKV", 26.5, retrieves=True)]


@pytest.fixture
def poses():
    return pose_from_angles(np.arange(3 * LAP) * 360 / LAP, 0, np.zeros((3 * LAP, 3)))


def texts(figure):
    """Return the text of everything that is written, with its box in pixels."""
    figure.draw_without_rendering()
    shown = [text for axes in figure.axes for text in axes.texts if text.get_text()]
    shown += [title for axes in figure.axes for title in (axes.title, axes._left_title) if title.get_text()]
    return [(text.get_text(), text.get_window_extent()) for text in shown]


def test_names_and_titles_do_not_overlap_and_stay_inside(traces, poses):
    figure = memory_figure(traces, poses=poses, phases=PHASES, title="A title")
    found = texts(figure)
    for i, (text, box) in enumerate(found):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, f"{text!r} is cut off"
        for other, other_box in found[i + 1 :]:
            assert not box.padded(-1).overlaps(other_box.padded(-1)), f"{text!r} lies on {other!r}"
    names = [text for text, _ in found]
    for trace in traces:
        assert names.count(trace.name) == 3  # at its line in each of the three panels on the left
    assert any("brings\nback" in name for name in names)


def test_the_file_is_a_small_png_and_replaces_the_older_one_whole(traces, poses, tmp_path):
    settings = dict(matplotlib.rcParams)
    path = tmp_path / "deep" / "memory.png"
    for _ in range(2):
        save_figure(path, memory_figure(traces, poses=poses, phases=PHASES))
    assert dict(matplotlib.rcParams) == settings
    assert Image.open(path).size == (1320, 880)
    assert path.stat().st_size < 1_000_000 and list(path.parent.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"written as \.png, got \.pdf"):
        save_figure(tmp_path / "memory.pdf", None)


def test_a_failing_writer_leaves_nothing(tmp_path):
    class Broken:
        def savefig(self, path, **_):
            path.write_bytes(b"half")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        save_figure(tmp_path / "memory.png", Broken())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["walk", "one chunk", "nothing retrieved", "all unknown", "many modes"])
def test_unusual_rollouts_can_be_drawn(traces, poses, tmp_path, kind):
    phases = PHASES
    if kind == "walk":
        poses[:, 0, 3], poses[:, 2, 3] = np.arange(24), np.arange(24) % 5
    elif kind == "one chunk":
        values = {"fidelity": [20.0], "attended_tokens": [0], "stored_bytes": [0]}
        traces, poses, phases = [MemoryTrace(name="Full KV", **values)], poses[:1], ["a"]
    elif kind == "nothing retrieved":
        traces = traces[:2]
    elif kind == "all unknown":
        unknown = np.full(24, np.nan)
        traces = [MemoryTrace(name="?", fidelity=unknown, attended_tokens=unknown, stored_bytes=unknown)]
    else:
        traces = [dataclasses.replace(traces[0], name=f"mode {i}") for i in range(8)]
    assert save_figure(tmp_path / "a.png", memory_figure(traces, poses=poses, phases=phases)).stat().st_size > 0


def test_phases_and_highlights(traces):
    assert phase_runs(["a", "a", "b", "a"]) == [(0, 2, "a"), (2, 3, "b"), (3, 4, "a")]
    first, late = pick_highlights(traces[-1], PHASES)
    assert PHASES[first] == "first revisit" and PHASES[late] == "late revisit" and (late - first) % LAP
    assert pick_highlights(traces[0], PHASES) == ()


def test_errors_say_what_is_wrong(traces, poses):
    draw = {"poses": poses, "phases": PHASES}
    with pytest.raises(ValueError, match="no traces"):
        memory_figure([], **draw)
    with pytest.raises(ValueError, match="trace names repeat"):
        memory_figure(traces[:1] * 2, **draw)
    with pytest.raises(ValueError, match="unknown trace 'worldkv'"):
        memory_figure(traces, focus="worldkv", **draw)
    with pytest.raises(ValueError, match="phases 23, poses 24"):
        memory_figure(traces, poses=poses, phases=PHASES[1:])
    with pytest.raises(ValueError, match="highlights names chunk 24"):
        memory_figure(traces, highlights=[24], **draw)
    with pytest.raises(ValueError, match=r"attended_tokens has shape \(2,\), expected \(24,\)"):
        dataclasses.replace(traces[0], attended_tokens=[1, 2])
    with pytest.raises(ValueError, match=r"retrieved\[0\] names chunk 3, which is not before it"):
        dataclasses.replace(traces[0], retrieved=[(3,)] + [()] * 23)
    with pytest.raises(ValueError, match="window has 1 lists, expected 24"):
        dataclasses.replace(traces[0], window=[()])


def test_no_text_is_taken_for_mathematics(traces, poses, tmp_path):
    """A dollar sign began some, and one that did not end raised when the figure was saved."""
    from worldkv_jax.media.path_plot import path_figure

    odd = [dataclasses.replace(trace, name=f"{trace.name} $x_{{") for trace in traces]
    for number, figure in enumerate(
        (memory_figure(odd, poses=poses, phases=PHASES, title="$5 and \\frac{ $6_"), path_figure(poses, title="$a_{$"))
    ):
        assert save_figure(tmp_path / f"{number} $.png", figure).stat().st_size > 1000


def test_a_path_is_drawn_as_its_first_camera_sees_it(poses):
    from worldkv_jax.media.path_plot import path_figure

    poses[:, :3, 3] = np.arange(len(poses))[:, None] * poses[:, :3, 2] + 5000
    line = path_figure(poses, title="a").axes[0].lines[0]
    assert line.get_xydata()[0].tolist() == [0, 0] and np.abs(line.get_xydata()).max() < 50
    path_figure(poses[:1])
