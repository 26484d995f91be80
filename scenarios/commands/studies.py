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
    if "points" not in results.tables:
        made = results.manifest["command"]
        raise CommandError(f"growth needs the result of a sweep, got that of {made!r}")
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
    _check_measured(results.frame("measures"), arguments)
    rows: list[tuple[str, ...]] = [
        ("regime", "growth", "best law", "fit", "next class behind by", "why not")
    ]
    for name in names:
        measured = swept_responses(
            results,
            x,
            axis=arguments.axis,
            measure=arguments.measure,
            family=arguments.family,
            regime=name,
        )
        rows.append((name, *_growth_row(growth_of(measured))))
    head = f"{arguments.measure} of {arguments.family} along {arguments.axis}"
    head += f", {counted(len(set(x)), 'level')}{_pooled(points, arguments.axis)}"
    return f"{head}\n\n{columns(rows)}"


def _check_measured(measures: pd.DataFrame, arguments: Namespace) -> None:
    """Refuse a measure or a family that is not in a result, or not together."""
    for column in ("measure", "family"):
        asked, known = getattr(arguments, column), measures[column].unique().tolist()
        if asked not in known:
            raise CommandError(f"no {column} {asked!r} in this sweep{near_miss(asked, known)}")
    of_family = measures["family"] == arguments.family
    if not (of_family & (measures["measure"] == arguments.measure)).any():
        raise CommandError(f"{arguments.measure} is no measure of {arguments.family}")


def _pooled(points: pd.DataFrame, axis: str) -> str:
    """Say over which other parameters of a sweep each level is the mean."""
    others = [name for name in points.columns if name not in ("point", axis)]
    varied = [name for name in others if points[name].nunique() > 1]
    return f", means over {' and '.join(varied)}" if varied else ""


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
