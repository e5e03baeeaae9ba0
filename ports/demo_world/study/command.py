"""The command `worldkv study`: what each part of a memory is worth, on worlds whose truth is known."""

from pathlib import Path

from ports.demo_world.model_choice import ModelChoice
from worldkv_jax.sessions.options import option, options_class

HELP = "sweep memories over held-out worlds: which parts of WorldKV are worth what, with intervals"

_VALIDATION, _TEST = 21, 22  # seeds of rooms; the demo, its tests and the training have others
_CLAIMS = "The paper's claims, on test worlds"
_WORLDS = {"full": (24, 32, 9, 8), "quick": (4, 4, 3, 2)}  # validation, test, long rollouts, attention


@options_class
class StudyCommand(ModelChoice):
    """Measure what each part of a memory is worth."""

    quick: bool = option(False, "few worlds and variants: minutes instead of an hour")
    out: Path = option(Path("outputs/study"), "folder; a second run goes on there")
    worlds: int | None = option(None, "of both splits, instead of 24 and 32", metavar="N")
    only: tuple[str, ...] | None = option(None, "groups whose title has one of these, or claims", metavar="TEXT")

    def run(self) -> None:
        """Measure what is not measured yet, then write tables and figures."""
        from ports.demo_world.study.groups import FINAL, GROUPS
        from ports.demo_world.study.lengths import lengths
        from ports.demo_world.study.report import StudyPlan, run_study
        from ports.demo_world.weights import read_config
        from worldkv_jax.sessions.results import prepare_output

        if self.worlds is not None and self.worlds < 1:
            raise ValueError(f"`worlds` {self.worlds}: at least one world is needed")
        worlds = list(_WORLDS["quick" if self.quick else "full"])
        if self.worlds is not None:
            worlds = [self.worlds, self.worlds, min(self.worlds, worlds[2]), min(self.worlds, worlds[3])]
        checkpoint = self.weights_file()
        everything = (*GROUPS, lengths(read_config(checkpoint).family))
        groups = [group for group in everything if self._asks_for(group.title)]
        claims = self._asks_for(_CLAIMS)
        if not groups and not claims:
            titles = ", ".join([*(group.title for group in everything), _CLAIMS])
            raise ValueError(f"`only` {' '.join(self.only or ())}: no group has this in its title; {titles}")
        plan = StudyPlan(
            groups=tuple(groups),
            final=FINAL if claims else (),
            quick=self.quick,
            validation_seed=_VALIDATION,
            test_seed=_TEST,
            worlds=worlds[0],
            test_worlds=worlds[1],
            long_worlds=worlds[2],
            attention_worlds=worlds[3] if claims else 0,
        )
        for path in run_study(plan, prepare_output(self.out), checkpoint):
            print(path)

    def _asks_for(self, title: str) -> bool:
        return self.only is None or any(text.lower() in title.lower() for text in self.only)
