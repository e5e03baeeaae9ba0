"""The command `worldkv study`: what each part of a memory is worth, on worlds whose truth is known."""

import argparse
from pathlib import Path

# Only what is light: the command line reads this module to list its commands.
HELP = "sweep memories over held-out worlds: which parts of WorldKV are worth what, with intervals"

_VALIDATION, _TEST = 21, 22  # seeds of rooms; the demo, its tests and the training have others
_WORLDS = {"full": (24, 32, 9, 8), "quick": (4, 4, 3, 2)}  # validation, test, long rollouts, attention


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="few worlds and variants: minutes instead of an hour")
    parser.add_argument("--out", type=Path, default=Path("outputs/study"), help="folder; a second run goes on there")
    parser.add_argument("--worlds", type=int, default=None, metavar="N", help="of both splits, instead of 24 and 32")
    parser.add_argument("--only", nargs="+", default=None, metavar="TEXT", help="groups whose title has one of these")
    parser.add_argument("--checkpoint", type=Path, default=None, help="other weights than the shipped ones")


def run(args: argparse.Namespace) -> None:
    """Measure what is not measured yet, then write tables and figures."""
    from ports.demo_world.study_groups import FINAL, GROUPS
    from ports.demo_world.study_report import Plan, run_study
    from worldkv_jax.sessions.results import prepare_output

    if args.worlds is not None and args.worlds < 1:
        raise ValueError(f"--worlds {args.worlds}: at least one world is needed")
    worlds = list(_WORLDS["quick" if args.quick else "full"])
    if args.worlds is not None:
        worlds = [args.worlds, args.worlds, min(args.worlds, worlds[2]), min(args.worlds, worlds[3])]
    groups = [g for g in GROUPS if args.only is None or any(text.lower() in g.title.lower() for text in args.only)]
    if not groups:
        raise ValueError(
            f"--only {' '.join(args.only)}: no group has this in its title; {', '.join(g.title for g in GROUPS)}"
        )
    plan = Plan(
        groups=tuple(groups),
        final=FINAL if args.only is None else (),
        quick=args.quick,
        validation_seed=_VALIDATION,
        test_seed=_TEST,
        worlds=worlds[0],
        test_worlds=worlds[1],
        long_worlds=worlds[2],
        attention_worlds=worlds[3] if args.only is None else 0,
    )
    for path in run_study(plan, prepare_output(args.out), args.checkpoint):
        print(path)
