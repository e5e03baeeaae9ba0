"""The study from end to end: measure both splits, look at the attention, write tables, figures and numbers."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ports.demo_world.backbone import DemoParams, DemoWorld
from ports.demo_world.scenario import FIRST, LATE, make_scenario
from ports.demo_world.study import attention as study_attention
from ports.demo_world.study import claims as study_claims
from ports.demo_world.study import figures as study_figures
from ports.demo_world.study import groups as study_groups
from ports.demo_world.study import tables as study_tables
from ports.demo_world.study.attention_figure import attention_figure
from ports.demo_world.study.lengths import LENGTHS_TITLE, confirmed, length_table
from ports.demo_world.study.runs import Result, Runner, Setting
from ports.demo_world.study.tables import Results
from ports.demo_world.study.variants import Group, Variant
from worldkv_jax.files import replacing
from worldkv_jax.media.figures import save_figure
from worldkv_jax.sessions.provenance import describe_machine
from worldkv_jax.sessions.results import write_json

_BUDGETS = {"PAPER": 360, "OFFICIAL": 432}  # attended tokens
_LARGE = ("groups", "final", "always")  # parts of the plan that the numbers name themselves


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study measures."""

    groups: tuple[Group, ...]
    final: tuple[Variant, ...]
    """Measured on the test worlds and compared with the first of them; nothing if empty."""
    quick: bool
    validation_seed: int
    test_seed: int
    worlds: int
    test_worlds: int
    long_worlds: int
    attention_worlds: int
    """0 leaves the analysis out."""
    always: tuple[Variant, ...] = (study_groups.FULL,)
    """Measured on the validation worlds whatever the groups have; counts and costs are compared with full KV."""

    def measured(self) -> list[Variant]:
        """Return the variants of the validation worlds, each once."""
        chosen = {variant.name: variant for variant in self.always}
        for group in self.groups:
            for variant in group.variants:
                if not self.quick or variant.quick or variant.name == group.reference:
                    chosen[variant.name] = variant
        return list(chosen.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What a study found."""

    family: str
    """Of the worlds."""
    checkpoint: str
    """SHA-256 of the weights."""
    validation: Results
    final: Results
    """Of the plan's final variants, on test worlds."""
    confirmed: Results
    """Of variants of the groups that are measured once more, on test worlds."""
    attention: study_attention.Attention | None

    def claims(self) -> list[study_claims.Verdict]:
        """Judge the claims; none without final variants."""
        return study_claims.judge(self.final, self.attention) if self.final else []


def run_study(plan: StudyPlan, out: Path, checkpoint: Path) -> list[Path]:
    """Measure what ``out`` does not hold yet of the weights in a file, and write the report; return its files."""
    backbone, params = DemoWorld.load(checkpoint)
    sha, family = hashlib.sha256(checkpoint.read_bytes()).hexdigest(), backbone.config.family
    validation = Runner(backbone, params, Setting(plan.validation_seed, plan.worlds, sha, family), out / "runs")
    test = Runner(backbone, params, Setting(plan.test_seed, plan.test_worlds, sha, family), out / "runs")
    measured = Measured(
        family=family.name,
        checkpoint=sha,
        validation=_measure("validation", validation, plan.measured(), plan),
        final=_measure("test", test, _chosen(plan.final, plan), plan),
        confirmed=_measure("test", test, _chosen([v for group in plan.groups for v in confirmed(group)], plan), plan),
        attention=_attention(backbone, params, plan, sha, out / "runs") if plan.attention_worlds else None,
    )
    return [
        *_write_figures(plan, measured, out),
        _write_markdown(plan, measured, out / "study.md"),
        _write_numbers(plan, measured, out / "study.json"),
    ]


def _chosen(variants: Sequence[Variant], plan: StudyPlan) -> list[Variant]:
    return [variant for variant in variants if not plan.quick or variant.quick]


def _measure(split: str, runner: Runner, variants: list[Variant], plan: StudyPlan) -> dict[str, Result]:
    results = {}
    for number, variant in enumerate(variants, 1):
        worlds = min(plan.long_worlds, runner.setting.worlds) if variant.long else None
        result, known = runner.run(variant, worlds=worlds)
        results[variant.name] = result
        latest = result.of_phase(result.latest).mean()
        spent = "measured before" if known else f"{result.seconds:.0f} s"
        made = f"{variant.name}: {result.latest}s {latest:.2f} dB"
        print(f"{split} {number}/{len(variants)}  {made}, {spent}", flush=True)
    return results


def _attention(
    backbone: DemoWorld, params: DemoParams, plan: StudyPlan, sha: str, folder: Path
) -> study_attention.Attention:
    name = f"attention-{sha[:8]}-{plan.validation_seed}-{plan.attention_worlds}.npz"
    scenario = make_scenario(plan.validation_seed, plan.attention_worlds, family=backbone.config.family)
    if not (folder / name).exists():
        print(f"attention of full KV on {plan.attention_worlds} worlds ...", flush=True)
        study_attention.analyse(backbone, params, scenario, seed=plan.validation_seed).save(folder / name)
    return study_attention.Attention.load(folder / name)


def _write_figures(plan: StudyPlan, measured: Measured, out: Path) -> list[Path]:
    titles, found = {group.title for group in plan.groups}, measured.validation
    full = found.get(study_groups.FULL.name)

    def chosen(*groups: Group) -> list[Group]:
        """Return those of the groups that the plan has."""
        return [group for group in groups if group.title in titles]

    figures: dict[str, Figure] = {}
    if measured.final:
        modes = dataclasses.replace(study_groups.MODES, variants=plan.final)
        figures["modes.png"] = study_figures.modes_figure(modes, measured.final)
    if pruning := chosen(study_groups.KEEP_RATIO, study_groups.BUDGET, study_groups.SLOW, study_groups.SCORE):
        figures["pruning.png"] = study_figures.differences_figure(pruning, found)
    if rules := chosen(study_groups.ONE_CHUNK, study_groups.THREE_CHUNKS, study_groups.STORAGE):
        figures["rules.png"] = study_figures.differences_figure(rules, found)
    if full is not None and chosen(study_groups.COUNT):
        figures["count.png"] = study_figures.count_figure(study_groups.COUNT, found, full)
    if long := chosen(study_groups.POSITIONS, study_groups.LONG_RULES, study_groups.BANK):
        figures["long.png"] = study_figures.laps_figure(long, found)
    if chosen(study_groups.CAMERAS):
        figures["cameras.png"] = study_figures.noise_figure(study_groups.CAMERAS, found)
    if full is None:
        return [save_figure(out / name, figure) for name, figure in figures.items()]
    named = ("PAPER", "OFFICIAL", "DEFAULT", "sliding window", "sink + recent", "full KV")
    figures["cost.png"] = study_figures.cost_figure(plan.measured(), found, named, full)
    if measured.attention is not None:
        figures["attention.png"] = attention_figure(measured.attention)
    return [save_figure(out / name, figure) for name, figure in figures.items()]


def _write_markdown(plan: StudyPlan, measured: Measured, path: Path) -> Path:
    parts = [
        "# The study in numbers\n",
        f"Weights SHA-256 `{measured.checkpoint}`. Validation: {measured.family} of seed {plan.validation_seed}, "
        f"{plan.worlds} worlds ({min(plan.long_worlds, plan.worlds)} in long rollouts); test: seed {plan.test_seed}, "
        f"{plan.test_worlds} worlds. After ± is half of the 95 % interval over worlds; differences are paired over the "
        "same worlds. "
        "*Attends* counts the stored tokens that the last chunk attends to, *stores* all keys and values at the end "
        "against full KV's, in bytes.\n",
    ]
    if measured.final or measured.confirmed:
        parts.append("## Test worlds\n")
    if measured.final:
        parts.append(study_claims.markdown(measured.claims()) + "\n")
        reference = plan.final[0].name
        rows = study_tables.table(plan.final, measured.final, reference)
        parts.append(study_tables.markdown(rows, reference) + "\n")
    for group in plan.groups:
        if variants := [v for v in confirmed(group) if v.name in measured.confirmed]:
            parts += [f"### {group.title}\n", length_table(variants, measured.confirmed) + "\n"]
    parts.append("## Validation worlds\n")
    for who, tokens in _BUDGETS.items():
        recommended = study_tables.recommend(plan.measured(), measured.validation, tokens=tokens)
        if recommended is None:
            continue
        chosen, best = recommended
        parts.append(
            f"With at most {tokens} attended tokens, as {who} has, the best is *{best.name}*; of those as good, the "
            f"one that stores least is *{chosen.name}*.\n"
        )
    for group in plan.groups:
        parts += [f"### {group.title}\n", f"{group.question}\n"]
        if group.title == LENGTHS_TITLE:
            parts.append(length_table(group.variants, measured.validation) + "\n")
            continue
        rows = study_tables.table(group.variants, measured.validation, group.reference)
        parts.append(study_tables.markdown(rows, group.reference) + "\n")
    with replacing(path) as draft:
        draft.write_text("\n".join(parts), encoding="utf-8")
    return path


def _write_numbers(plan: StudyPlan, measured: Measured, path: Path) -> Path:
    def late(result: Result) -> dict[str, Any]:
        if result.latest != LATE:
            return {}
        return {
            "late_psnr": result.of_phase(LATE).round(3),
            "late_ssim": result.of_phase(LATE, result.ssim).round(4),
        }

    def numbers(results: Results) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "attended_tokens": result.attended,
                "stored_share": round(result.stored_share, 4),
                "first_psnr": result.of_phase(FIRST).round(3),
                "from_behind_walls": result.behind,
                "moving_psnr": result.moving,
                **late(result),
            }
            for name, result in results.items()
        }

    data = {
        "checkpoint_sha256": measured.checkpoint,
        "plan": {
            field.name: getattr(plan, field.name) for field in dataclasses.fields(plan) if field.name not in _LARGE
        },
        "machine": describe_machine(),
        "claims": [claim._asdict() for claim in measured.claims()],
        "validation": numbers(measured.validation),
        "test": numbers({**measured.final, **measured.confirmed}),
    }
    if (attention := measured.attention) is not None:
        data["attention"] = {"rank_correlation": attention.correlation, "covered": attention.covered}
    return write_json(path, data)
