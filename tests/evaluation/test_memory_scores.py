"""What a video remembers: worlds that remember, forget, blur and drift, and input that cannot be scored."""

import numpy as np
import pytest

from tests.evaluation.panorama import there_and_back, world
from worldkv_jax.evaluation import RevisitCriteria, kv_bytes_per_second, over_worlds, psnr, score_world
from worldkv_jax.evaluation.fidelity import PSNR_CAP

CRITERIA = RevisitCriteria(max_angle_degrees=2.0, min_gap=4)


def noisy(frames, amount, seed=0):
    noise = np.random.default_rng(seed).normal(size=frames.shape)
    return np.clip(frames + np.asarray(amount).reshape(-1, 1, 1, 1) * noise, 0, 1).astype(np.float32)


def test_a_perfect_world_closes_its_loop():
    frames, poses = world(there_and_back(2))
    scores = score_world(frames, poses, truth=frames, criteria=CRITERIA)
    of_psnr, of_ssim = scores.metrics["psnr"], scores.metrics["ssim"]
    assert of_psnr.first == of_psnr.late == of_psnr.truth_late == of_psnr.same_truth == PSNR_CAP
    assert of_ssim.first == pytest.approx(1) and of_ssim.random < 0.3
    assert of_psnr.headroom > 80 and of_ssim.headroom > 0.7
    assert scores.closure == {"frame": len(frames) - 1, "earlier": 0, "rmse": 0.0}
    assert scores.drift == pytest.approx({"revisits": 0, "truth": 0}, abs=1e-9)
    assert scores.notes == ()


def test_first_revisits_are_told_from_late_ones():
    yaws = there_and_back(2)
    frames, poses = world(yaws)
    lap = np.arange(len(frames)) > 41
    made = noisy(frames, 0.15 * lap)
    scores = score_world(made, poses, truth=frames, criteria=CRITERIA)
    assert set(scores.revisits.visits) == {1, 2, 3}
    of_psnr, revisits = scores.metrics["psnr"], scores.revisits
    late = revisits.visits > 1
    expected = psnr(made[revisits.frames], made[revisits.earlier])
    assert of_psnr.late == pytest.approx(expected[late].mean(), rel=1e-5)
    assert of_psnr.first == pytest.approx(expected[~late].mean(), rel=1e-5)
    assert of_psnr.truth_late < of_psnr.truth_first
    assert scores.drift["truth"] < 0


def test_a_blurry_world_has_no_headroom():
    frames, poses = world(there_and_back())
    blurred = np.broadcast_to(frames.mean(axis=(0, 2), keepdims=True), frames.shape)  # the same whatever it looks at
    sharp, blurry = (score_world(f, poses, criteria=CRITERIA).metrics["ssim"] for f in (frames, blurred))
    assert blurry.first == pytest.approx(1) and abs(blurry.headroom) < 1e-5
    assert sharp.headroom > 0.7


def test_a_world_that_forgets_has_none_either():
    frames, poses = world(there_and_back())
    half = len(frames) // 2
    forgotten = np.concatenate([frames[:half], world(there_and_back(), seed=1)[0][half:]])
    scores = score_world(forgotten, poses, truth=frames, criteria=CRITERIA)
    assert abs(scores.metrics["psnr"].headroom) < 2
    assert scores.metrics["psnr"].truth_seen > scores.metrics["psnr"].truth_first + 20
    assert scores.closure["rmse"] > 0.2


def test_pairs_may_be_given_by_hand():
    frames, poses = world(np.arange(0, 90, 3))
    scores = score_world(frames, poses, pairs=[(0, 20), (0, 25), (3, 9)], criteria=CRITERIA)
    assert scores.revisits.frames.tolist() == [9, 20, 25]
    assert scores.revisits.earlier.tolist() == [3, 0, 0]
    assert scores.revisits.visits.tolist() == [1, 1, 2]
    assert scores.closure["frame"] == 25
    for pairs in ([(5, 5)], [(9, 3)], [(0, 30)], [(-1, 4)], []):
        with pytest.raises(ValueError, match=r"does not fit a video of 30 frames|no pairs"):
            score_world(frames, poses, pairs=pairs, criteria=CRITERIA)


def test_no_revisit_is_said_with_the_closest_pair():
    # Turns almost all the way round: the last view is 12 degrees from the first.
    frames, poses = world(range(0, 349, 12))
    message = r"within 2 degrees and 1 units, .* closest pair is frame 29 to frame 0, 12\.0 degrees and 0 units apart"
    with pytest.raises(ValueError, match=message):
        score_world(frames, poses, criteria=CRITERIA)
    frames, poses = world(range(0, 100, 2))
    with pytest.raises(ValueError, match="never comes back towards a view"):
        score_world(frames, poses, criteria=CRITERIA)


def test_different_lengths_are_refused():
    frames, poses = world(there_and_back())
    with pytest.raises(ValueError, match=r"41 frames but there are 11 poses; give one pose a frame .*--stretch"):
        score_world(frames, poses[::4])
    with pytest.raises(ValueError, match=r"41 frames but there are 40 poses; give one pose a frame; .*repeated"):
        score_world(frames, poses[1:])
    with pytest.raises(ValueError, match=r"the video has shape \(41, .* the truth \(40,"):
        score_world(frames, poses, truth=frames[1:])
    with pytest.raises(ValueError, match=r"expected \[n, height, width, 3\]"):
        score_world(frames[0], poses)


def test_constant_frames_leave_no_numbers_that_mean_nothing():
    frames, poses = world(there_and_back())
    scores = score_world(np.full_like(frames, 0.5), poses, criteria=CRITERIA)
    assert scores.metrics["ssim"].first is None and scores.metrics["ssim"].headroom is None
    assert scores.metrics["psnr"].headroom is None and scores.metrics["psnr"].first == PSNR_CAP
    assert any("headroom is undefined: every frame is one plain colour" in note for note in scores.notes)
    assert any("ssim is undefined on all revisits" in note for note in scores.notes)
    some = frames.copy()
    some[-1] = 0.25
    notes = score_world(some, poses, criteria=CRITERIA).notes
    assert notes == ("ssim is undefined on 1 of 19 revisits: their frames are one plain colour",)


def test_small_frames_leave_ssim_out():
    frames, poses = world(there_and_back())
    scores = score_world(frames[:, :10], poses, criteria=CRITERIA)
    assert list(scores.metrics) == ["psnr"] and "ssim is left out" in scores.notes[0]


def test_over_worlds():
    yaws = there_and_back()
    worlds = []
    for seed, amount in enumerate((0.1, 0.2, 0.3)):
        frames, poses = world(yaws, seed)
        worlds.append(score_world(noisy(frames, np.full(len(yaws), amount)), poses, criteria=CRITERIA))
    table = over_worlds(worlds)
    first = table["psnr"]["first"]
    assert first.count == 3 and first.low < first.mean < first.high
    assert first.mean == pytest.approx(np.mean([w.metrics["psnr"].first for w in worlds]))
    assert table["psnr"]["truth_late"] is None and table["drift"]["truth"] is None
    assert over_worlds(worlds[:1])["psnr"]["first"].low is None


def test_bytes_per_second():
    bytes_after = [100, 200, 300, 400, 500]
    assert kv_bytes_per_second(bytes_after, [9, 12, 12, 12, 12], 24.0) == pytest.approx(100 / 12 * 24)
    assert kv_bytes_per_second([7, 7, 7], [3, 3, 3], 24.0) == 0  # a window stays as it is
    with pytest.raises(ValueError, match="2 or more"):
        kv_bytes_per_second([1], [1], 24.0)
