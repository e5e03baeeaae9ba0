"""The study: measurements that are kept, batches that do not matter, verdicts by intervals, and its report."""

import dataclasses
import json
import zlib

import numpy as np
import pytest

from ports.demo_world.backbone import DemoWorld
from ports.demo_world.scenario import FIRST, LATE, make_phases, make_scenario
from ports.demo_world.study import claims as study_claims
from ports.demo_world.study import groups as study_groups
from ports.demo_world.study import lengths as study_lengths
from ports.demo_world.study import runs as study_runs
from ports.demo_world.study import tables as study_tables
from ports.demo_world.study.attention import PICKED, RULE_NAMES, Attention, analyse
from ports.demo_world.study.attention_figure import attention_figure
from ports.demo_world.study.command import StudyCommand
from ports.demo_world.study.groups import GROUPS, SINK, SLIDING
from ports.demo_world.study.lengths import LENGTHS_TITLE, lengths
from ports.demo_world.study.moving import masked_psnr, moving_pixels_of
from ports.demo_world.study.occlusion import behind_walls, rooms_of_chunks
from ports.demo_world.study.report import StudyPlan, run_study
from ports.demo_world.study.runs import Result, Runner, Setting
from ports.demo_world.study.variants import Group, Variant, whole
from ports.demo_world.weights import shipped_weights
from ports.demo_world.worlds.families import APARTMENTS, FAMILIES, ROOMS
from worldkv_jax.cli.main import main
from worldkv_jax.media.figures import save_figure
from worldkv_jax.memory.layout import Layout


@pytest.fixture(scope="module")
def shipped():
    return DemoWorld.load()


def runner(shipped, folder, worlds=2):
    return Runner(*shipped, Setting(seed=31, worlds=worlds, checkpoint="test"), folder)


@pytest.fixture(scope="module")
def measured(shipped, tmp_path_factory):
    """A folder in which the sliding window was measured on two worlds, and the result."""
    folder = tmp_path_factory.mktemp("runs")
    result, known = runner(shipped, folder).run(SLIDING)
    assert not known
    return folder, result


@pytest.mark.long
def test_what_is_measured_once_is_read_afterwards(shipped, measured, tmp_path, monkeypatch):
    folder, first = measured
    study = runner(shipped, folder)
    assert first.psnr.shape == first.ssim.shape == (2, 24)
    assert first.attended == 144 and 8 < first.of_phase(LATE).mean() < 18
    monkeypatch.setattr(Runner, "_measure", None)  # calling it would fail
    again, known = study.run(dataclasses.replace(SLIDING, name="under another name"))
    assert known and again.name == "under another name"
    np.testing.assert_array_equal(again.psnr, first.psnr)
    for changed in (dataclasses.replace(SLIDING, noise=(1.0, 0.0)), SINK):
        with pytest.raises(TypeError):
            study.run(changed)
    for path in folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text()[:50])  # cut short: measured again
    with pytest.raises(TypeError):
        runner(shipped, tmp_path).run(SLIDING)


@pytest.mark.long
def test_the_batch_does_not_matter(shipped, measured, tmp_path, monkeypatch):
    monkeypatch.setattr(study_runs, "_BATCH_CHUNKS", 1)
    alone, _ = runner(shipped, tmp_path).run(SLIDING)
    np.testing.assert_allclose(alone.psnr, measured[1].psnr, atol=0.02)


def test_noise_turns_and_moves_chunks_as_much_as_it_says():
    poses = make_scenario(5, 1).poses[0].reshape(36, 3, 4, 4)
    path = np.tile(poses, (20, 1, 1, 1))
    noisy = study_runs._disturb(path, (10.0, 0.2), [1, 2])
    shift = (noisy - path)[..., :3, 3]
    np.testing.assert_allclose(np.sqrt((shift[:, 0] ** 2).sum(-1).mean()), 0.2, rtol=0.1)
    assert np.ptp(shift, axis=1).max() < 1e-6  # one error for all frames of a chunk
    turn = noisy[..., :3, :3] @ np.swapaxes(path[..., :3, :3], -1, -2)
    angle = np.rad2deg(np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    np.testing.assert_allclose(np.sqrt((angle**2).mean()), 10, rtol=0.1)
    np.testing.assert_allclose(study_runs._disturb(path, (0.0, 0.0), [1, 2]), path, atol=1e-12)


def test_later_laps_stay_near_the_tour_and_never_repeat_it():
    scenario = make_scenario(9, 2, laps=5)
    assert scenario.phases == make_phases(5) and scenario.phases.count(LATE) == 36
    short = make_scenario(9, 2)
    np.testing.assert_array_equal(scenario.poses[:, :108], short.poses)
    poses = scenario.poses[1]
    gap = np.abs(poses[36:, None] - poses[None, :36]).max(axis=(-2, -1))
    assert gap.min(axis=1).max() < 0.12 and gap.min() > 1e-3


def made_up(name, late, first=25.0, tokens=100, stored=1.0, seed=0):
    """A result of eight worlds whose chunks scatter, but alike in every memory."""
    phases = (FIRST,) * 12 + (LATE,) * 12
    scatter = np.random.default_rng(seed).normal(size=(8, 24))
    psnr = np.where(np.array(phases) == LATE, late, first) + scatter
    own = 0.02 * np.random.default_rng(zlib.crc32(name.encode())).normal(size=(8, 1))
    return Result(name, phases, psnr + own, psnr / 30, tokens, int(1e6 * stored), stored, 1.0)


def test_verdicts_are_by_intervals():
    results = [made_up("full KV", 24.0), made_up("sliding window", 14.0), made_up("sink + recent", 21.0)]
    results += [made_up("PAPER", 23.7), made_up("OFFICIAL", 23.9), made_up("DEFAULT", 24.6)]
    verdicts = study_claims.judge({r.name: r for r in results}, None)
    by_claim = {v.claim: v.verdict for v in verdicts}
    assert by_claim["A sliding window forgets"] == "reproduced"
    assert by_claim["Full KV remembers"] == "undecided"  # 3 dB within noise
    assert by_claim["WorldKV (PAPER) keeps up with full KV at about half its storage"] == "not reproduced"
    assert by_claim["DEFAULT is better than OFFICIAL"] == "holds"
    assert "Anchors alone lose detail" not in by_claim  # was not measured
    text = study_claims.markdown(verdicts)
    assert "DEFAULT minus OFFICIAL: 0." in text and text.count("\n") == len(verdicts) + 1


def test_recommendation_prefers_little_storage_among_equals():
    variants = [Variant(name=name, memory=whole()) for name in ("best", "as good", "worse", "dear")]
    variants.append(Variant(name="long", memory=whole(), laps=8))
    results = [
        made_up("best", 24.5, tokens=300, stored=1.0),
        made_up("as good", 24.45, tokens=300, stored=0.5),
        made_up("worse", 23.5, tokens=200, stored=0.1),
        made_up("dear", 26.0, tokens=500),
        made_up("long", 27.0, tokens=100),
    ]
    chosen, best = study_tables.recommend(variants, {r.name: r for r in results}, tokens=360)
    assert (chosen.name, best.name) == ("as good", "best")


def test_names_are_unique_and_references_exist():
    seen = {}
    for group in (*GROUPS, *map(lengths, FAMILIES.values())):
        names = [variant.name for variant in group.variants]
        assert len(set(names)) == len(names) and group.reference in names
        for variant in group.variants:
            assert group.title == LENGTHS_TITLE or seen.setdefault(variant.name, variant) == variant
    assert len({variant.name for variant in study_groups.FINAL}) == len(study_groups.FINAL)
    quick = [variant for group in GROUPS for variant in group.variants if variant.quick]
    assert 10 <= len({variant.name for variant in quick}) <= 20


def test_lengths_are_those_of_the_title_in_every_family():
    for family, chunks in ((ROOMS, [7, 21, 36, 84]), (APARTMENTS, [7, 20, 36, 84])):
        group = lengths(family)
        for variant in group.variants:
            path = study_runs._path(variant, family)
            made = make_phases(path["laps"], path["lap"], tour_laps=path["tour_laps"])[: path["chunks"]]
            assert variant.name.endswith(f", {len(made)} chunks") and FIRST in made
            Layout(config=variant.memory, spec=DemoWorld().spec, chunks=len(made))  # raises for what does not fit
        full = [v for v in group.variants if v.memory.mode == "full" and not v.true_past]
        assert [int(v.name.split()[-2]) for v in full] == chunks
    results = {v.name: made_up(v.name, 20.0) for v in full[:2]}
    table = study_lengths.length_table(full, results)
    assert table.splitlines()[0] == "| memory | attends | 7 chunks | 20 chunks |"
    assert table.splitlines()[2].startswith("| full KV | 100 | 20.")
    short = made_up(full[0].name, 20.0, first=22.0)
    short = dataclasses.replace(short, phases=(FIRST,) * 24, psnr=np.full((8, 24), 22.0))
    assert short.latest == FIRST and "| 22.00 ± 0.00 |" in study_lengths.length_table(full[:1], {short.name: short})


def test_a_few_memories_are_confirmed_at_every_length():
    again = study_lengths.confirmed(lengths(ROOMS))
    assert len(again) == 4 * 5 and {v.name.rpartition(", ")[0] for v in again} < set(study_lengths.MEMORIES)
    assert study_lengths.confirmed(GROUPS[0]) == ()


@pytest.mark.long
def test_with_a_true_past_nothing_that_was_generated_is_remembered(shipped, tmp_path, monkeypatch):
    """Then it does not matter what the earlier chunks were made from: only each chunk's own noise does."""
    one = Variant(name="true", memory=SINK.memory, laps=2, lap=3, arc=90.0, true_past=True)
    seen = []
    for changed in (False, True):
        draw = study_runs.noise_of_worlds(shipped[0], 31, range(1))
        noise = (lambda index, draw=draw: draw(index) * (0.5 if index == 3 else 1)) if changed else draw
        monkeypatch.setattr(study_runs, "noise_of_worlds", lambda *_, noise=noise: noise)
        study = runner(shipped, tmp_path / str(changed), worlds=1)
        seen.append(study._measure_batch(one, study.scenario(one), range(1))[0])
    assert seen[0].shape[:2] == (1, 3)
    assert np.abs(seen[0][:, 0] - seen[1][:, 0]).max() > 1e-3
    np.testing.assert_array_equal(seen[0][:, 1:], seen[1][:, 1:])


def test_picks_from_behind_walls_are_counted():
    """One world of four chunks: two look at room 0, the third mostly at room 1, the last at both."""
    rooms = np.array([[[1.0, 0.0], [1.0, 0.0], [0.02, 0.98], [0.5, 0.5]]])
    shares = behind_walls(rooms, [np.array([[0, 1]]), np.array([[0, 2]]), np.zeros((1, 0), int)], first=2)
    np.testing.assert_array_equal(shares, [[1.0, 0.0, np.nan]])
    walled = dataclasses.replace(made_up("walled", 20.0), behind=0.25)
    rows = study_tables.table([Variant(name="walled", memory=whole())], {"walled": walled}, "walled")
    assert study_tables.markdown(rows, "walled").splitlines()[2].endswith("| 25 % |")
    assert "behind" not in study_tables.markdown([rows[0] | {"behind": None}], "walled")


def test_what_moves_is_scored_apart():
    truth = np.zeros((2, 1, 2, 2, 3))
    made, mask = truth.copy(), np.zeros(truth.shape[:-1], bool)
    made[0, 0, 0, 0], made[0, 0, 1, 1] = 0.1, 0.9  # of which the mask has the first
    mask[0, 0, 0, 0] = True
    np.testing.assert_allclose(masked_psnr(made, truth, mask), [20.0, np.nan])
    moving = dataclasses.replace(made_up("moving", 20.0), moving=np.array([12.0, np.nan, 14.0]))
    rows = study_tables.table([Variant(name="moving", memory=whole())], {"moving": moving}, "moving")
    lines = study_tables.markdown(rows, "moving").splitlines()
    assert lines[0].endswith("| what moves, dB |") and "| 13.00 ± " in lines[2]
    unseen = dataclasses.replace(moving, moving=np.array([np.nan]))  # one world, in which nothing moved into view
    rows = study_tables.table([Variant(name="moving", memory=whole())], {"moving": unseen}, "moving")
    assert "moves" not in study_tables.markdown(rows, "moving")


def test_the_moving_pixels_of_a_path_are_those_of_balls():
    scenario = make_scenario(5, 2, family=APARTMENTS, laps=3, lap=2, arc=180.0)
    moves = moving_pixels_of(APARTMENTS, scenario)
    assert moves.shape == (2, 18, *APARTMENTS.size) and moves.dtype == bool
    assert 0 < moves.mean() < 0.2
    gone = scenario.worlds._replace(balls=scenario.worlds.balls * np.array([1, 1, 1, 1, 1, 0, 1], np.float32))
    assert not moving_pixels_of(APARTMENTS, scenario._replace(worlds=gone)).any()


def test_rooms_of_chunks_are_those_the_cameras_stand_in():
    scenario = make_scenario(5, 1, family=APARTMENTS, laps=3, lap=2, arc=60.0)
    rooms = rooms_of_chunks(APARTMENTS, scenario)
    assert rooms.shape == (1, 6, 4)
    np.testing.assert_allclose(rooms.sum(axis=-1), 1, atol=1e-5)
    ground = scenario.poses[0, ::3, :3:2, 3] > 2
    assert rooms[0, 0].argmax() == int(ground[0] @ [2, 1]) and rooms[0, 3].argmax() == int(ground[3] @ [2, 1])


@pytest.mark.long
def test_a_study_writes_its_report_and_goes_on_where_it_stopped(tmp_path, capsys):
    tiny = Group(title="Tiny", variants=(SLIDING,), reference="sliding window", question="Which?")
    plan = StudyPlan(
        groups=(tiny,), final=(SLIDING,), quick=False, validation_seed=31, test_seed=31, worlds=2, test_worlds=2,
        long_worlds=2, attention_worlds=0, always=(SINK,),
    )  # fmt: skip
    written = run_study(plan, tmp_path, shipped_weights())
    assert {"modes.png", "study.md", "study.json"} <= {path.name for path in written}
    assert all(path.stat().st_size > 100 for path in written)
    text = (tmp_path / "study.md").read_text()
    assert "### Tiny" in text and "Which?" in text and "SHA-256" in text
    data = json.loads((tmp_path / "study.json").read_text())
    assert len(data["checkpoint_sha256"]) == 64 and len(data["test"]["sliding window"]["late_psnr"]) == 2
    capsys.readouterr()
    run_study(plan, tmp_path, shipped_weights())
    assert capsys.readouterr().out.count("measured before") == 3


def test_the_attention_figure_is_drawn(tmp_path):
    rng = np.random.default_rng(0)
    attention = Attention(
        mass=rng.random((2, 6, 9)), overlap=rng.random((2, 6, 9)), first=3, correlation=rng.uniform(-1, 1, (2, 3, 2)),
        covered={name: rng.random((2, len(PICKED))) for name in RULE_NAMES}, best=rng.random((2, len(PICKED))),
    )  # fmt: skip
    attention.save(tmp_path / "attention.npz")
    loaded = Attention.load(tmp_path / "attention.npz")
    np.testing.assert_array_equal(loaded.covered["random"], attention.covered["random"])
    assert save_figure(tmp_path / "attention.png", attention_figure(loaded)).stat().st_size > 10_000
    verdict = study_claims.judge({}, loaded)[0]
    assert verdict.claim.startswith("Attention falls") and verdict.verdict in ("undecided", "not reproduced")


@pytest.mark.slow
def test_attention_falls_where_views_overlap(shipped):
    attention = analyse(*shipped, make_scenario(33, 1), seed=33)
    assert np.nanmean(attention.correlation) > 0.4
    assert (attention.mass.sum(axis=-1) < 1).all() and attention.mass.min() >= 0
    assert attention.covered["mended distance"][:, 1].mean() > attention.covered["random"][:, 1].mean() + 0.2


@pytest.mark.slow
def test_the_quick_study_runs(tmp_path):
    assert main(["study", "--quick", "--worlds", "2", "--out", str(tmp_path)]) == 0
    made = {path.name for path in tmp_path.iterdir()}
    assert {"modes.png", "pruning.png", "rules.png", "long.png", "cost.png", "attention.png", "study.md"} <= made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--worlds", "0"], "at least one world"), (["--only", "nothing like it"], "no group has this in its title")],
)
def test_bad_options_are_refused(arguments, message, tmp_path, capsys):
    assert main(["study", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("only", "groups", "final"), [(("CLAIMS",), 0, True), (("length", "keep ratio"), 2, False)])
def test_a_part_of_the_study_is_named(monkeypatch, tmp_path, only, groups, final):
    plans = []
    monkeypatch.setattr("ports.demo_world.study.report.run_study", lambda plan, *_: plans.append(plan) or ())
    StudyCommand(only=only, out=tmp_path).run()
    assert (len(plans[0].groups), bool(plans[0].final), bool(plans[0].attention_worlds)) == (groups, final, final)
    with pytest.raises(ValueError, match=r"no group has this in its title; .*, The paper's claims"):
        StudyCommand(only=("nothing",), out=tmp_path).run()
