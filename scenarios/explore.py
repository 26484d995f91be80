"""Explore: the one place where an experiment runs, and its outcomes are put beside its tables.

Exploratory modelling (Bankes, Operations Research 41, 1993) asks over which part of what is
uncertain a statement holds, instead of what happens at a best guess.
"""

from dataclasses import asdict

from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.experiment_file import Experiment
from hanse.scenarios.outcomes import outcome_table
from hanse.scenarios.results import Results
from hanse.scenarios.running.store import Store
from hanse.scenarios.sweep import sweep


def explore(
    experiment: Experiment,
    *,
    workers: object | None = None,
    progress: bool = False,
    trace: Trace | None = None,
    store: Store | None = None,
) -> Results:
    """Run every regime on every seed at every point, as `sweep` does, and tabulate the outcomes.

    The table `outcomes` has one row per point, outcome and seed; the manifest says how the design
    was made, so that it can be made again.
    """
    results = sweep(
        experiment.scenario,
        experiment.design,
        regimes=experiment.rungs,
        seeds=experiment.seeds,
        workers=workers,
        progress=progress,
        trace=trace,
        store=store,
    )
    tables = dict(results.tables)
    if "measures" in tables:
        tables["outcomes"] = outcome_table(experiment.outcomes, tables["measures"].to_pandas())
    design = experiment.design
    manifest = dict(results.manifest) | {
        "experiment": {
            "name": experiment.name,
            "title": experiment.title,
            "question": experiment.question,
            "method": design.method,
            "options": dict(design.options),
            "uncertainties": [asdict(one) for one in design.factors],
            "levers": [asdict(one) for one in design.levers],
            "outcomes": [asdict(one) for one in experiment.outcomes],
        }
    }
    return Results(tables=tables, manifest=manifest)
