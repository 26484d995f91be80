"""Studies on the command line: the one place that answers for growths and figures."""

from argparse import Namespace
from pathlib import Path

import pandas as pd

from hanse.scenarios.commands.boundary import boundary
from hanse.scenarios.commands.plain_text import columns
from hanse.scenarios.commands.running import CommandError, compile_engine
from hanse.scenarios.growth.load_designs import swept_responses
from hanse.scenarios.growth.scaling import Growth, best_law
from hanse.scenarios.growth.scaling import growth as growth_of
from hanse.scenarios.mechanisms.figures import (
    check_picture,
    manifest_path,
    mechanism_of,
    write_mechanism,
)
from hanse.scenarios.numerals import counted, level, short, tick
from hanse.scenarios.parameters import near_miss
from hanse.scenarios.results import Results
from hanse.scenarios.scenario import load

__all__ = ["boundary", "figure", "growth"]


def growth(arguments: Namespace) -> str:
    """Say of each regime of a saved sweep how a measure grows along a parameter."""
    results = Results.load(arguments.directory)
    points = results.frame("points")
    if arguments.axis not in points:
        near = near_miss(arguments.axis, points.columns)
        raise CommandError(f"{arguments.axis!r} was not swept{near}")
    x = pd.to_numeric(points.set_index("point")[arguments.axis]).sort_index().tolist()
    swept = results.frame("rungs")["rung"].tolist()
    names = [arguments.regime] if arguments.regime else swept
    for name in names:
        if name not in swept:
            raise CommandError(f"{name!r} is not in this sweep{near_miss(name, swept)}")
    rows: list[tuple[str, ...]] = [
        ("regime", "growth", "best law", "fit", "next class behind by", "why not")
    ]
    for name in names:
        measured = swept_responses(
            results, x, measure=arguments.measure, family=arguments.family, regime=name
        )
        rows.append((name, *_growth_row(growth_of(measured))))
    head = f"{arguments.measure} of {arguments.family} along {arguments.axis}, {len(x)} levels"
    return f"{head}\n\n{columns(rows)}"


def figure(arguments: Namespace) -> str:
    """Run the small experiment of a scenario, draw it, and tell every number that is drawn."""
    mechanism = mechanism_of(arguments.name)
    scenario = load(arguments.name).with_settings(arguments.settings)
    seeds = arguments.seeds or range(mechanism.n_seeds)
    picture = arguments.output or Path("results") / f"{scenario.name}.png"
    check_picture(picture)
    compile_engine()
    evidence = write_mechanism(scenario, seeds, picture)
    head = (
        f"{mechanism.title}. {mechanism.caption}\n"
        f"{counted(len(seeds), 'world')}. One point, not a headline."
    )
    told = columns(_told_levels(mechanism.levels(evidence)))
    return f"{head}\n\n{told}\n\nfigure: {picture}, from {manifest_path(picture)}"


def _told_levels(levels: pd.DataFrame) -> list[tuple[str, ...]]:
    """Write each level with its interval, under the keys that tell it apart."""
    keys = [name for name in levels.columns if name not in ("mean", "ci_low", "ci_high", "n")]
    names = [tuple(_key(one) for one in row) for row in levels[keys].to_numpy(object).tolist()]
    numbers = levels[["mean", "ci_low", "ci_high"]].to_numpy().tolist()
    told = [level(*row) for row in numbers]
    return [(*keys, "mean"), *((*row, text) for row, text in zip(names, told, strict=True))]


def _key(one: object) -> str:
    return tick(one) if isinstance(one, float) else str(one)


def _growth_row(found: Growth) -> tuple[str, ...]:
    best = best_law(found.laws)
    others = found.laws[found.laws["growth_class"] != best["growth_class"]]
    behind = short(float(others["delta_aicc"].min()))
    return (found.verdict, str(best["law"]), str(best["fit"]), behind, found.reason)
