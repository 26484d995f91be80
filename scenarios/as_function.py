"""As function: the one place where a scenario becomes keywords in, outcomes out.

Other workbenches (EMA-workbench, SALib, an optimiser) call a plain function; this one runs worlds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import pandas as pd

from hanse.market.regime import Rung
from hanse.scenarios.analysis.designs import Design
from hanse.scenarios.analysis.factors import Factor, checked
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.outcomes import OutcomeOfInterest, check_regimes, outcome_table
from hanse.scenarios.parameters import ScenarioError, parameter
from hanse.scenarios.regime_parts import named_rung
from hanse.scenarios.run import run
from hanse.scenarios.scenario import Scenario

_DOT: Final = "__"


def as_function(
    scenario: Scenario,
    outcomes: Sequence[OutcomeOfInterest],
    *,
    seeds: Iterable[int],
) -> Callable[..., dict[str, float]]:
    """Return a function of parameters that returns the mean of each outcome over the seeds.

    The function takes each parameter as a keyword, `load__hold_share` for `load.hold_share`, and
    runs each regime that an outcome names on each seed. It can be pickled. What goes wrong in a
    run is raised; an unknown parameter or a value out of bounds as `ScenarioError`.

    Parameters
    ----------
    outcomes : at least one, each naming its regime.
    """
    if not outcomes:
        raise ScenarioError("a function needs at least one outcome, got none")
    names = dict.fromkeys(name for one in outcomes for name in (one.versus, one.regime) if name)
    for one in outcomes:
        if not one.regime:
            raise ScenarioError(f"outcomes.{one.name} needs a regime: a function has one value")
    rungs = tuple(named_rung(name) for name in names)
    check_regimes(outcomes, rungs)
    return partial(
        _means,
        scenario=scenario,
        outcomes=tuple(outcomes),
        rungs=rungs,
        seeds=tuple(checked_seeds(seeds)),
    )


def keywords(design: Design) -> Mapping[str, Factor]:
    """Return the factors and levers of a design by the keyword that a function takes them as."""
    return {one.key.replace(".", _DOT): one for one in (*design.factors, *design.levers)}


def _means(
    *,
    scenario: Scenario,
    outcomes: Sequence[OutcomeOfInterest],
    rungs: Sequence[Rung],
    seeds: Sequence[int],
    **settings: object,
) -> dict[str, float]:
    keys = {name: name.replace(_DOT, ".") for name in settings}
    asked = scenario.replace({keys[k]: checked(parameter(keys[k]), v) for k, v in settings.items()})
    frames = []
    for seed in seeds:
        for rung in rungs:
            frame = pd.DataFrame(run(asked, rung.regime, seed).tables["measures"])
            frames.append(frame.assign(point=0, regime=rung.name, seed=seed))
    table = outcome_table(outcomes, pd.concat(frames, ignore_index=True)).to_pandas()
    means = table.groupby("outcome")["value"].mean()
    return {one.name: float(means[one.name]) for one in outcomes}
