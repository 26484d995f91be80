"""Commands: the one place that turns a parsed command line into runs and words."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

from hanse.market.regime import Rung, ladder, named_rungs, regimes, variants
from hanse.scenarios.commands.arguments import DEFAULT_SEEDS
from hanse.scenarios.commands.growth_paths import grow_path
from hanse.scenarios.commands.plain_text import (
    changes_text,
    columns,
    experiment_text,
    failures_text,
    growth_path_text,
    ladder_text,
    outcomes_text,
    real_tasks_text,
    sweep_text,
)
from hanse.scenarios.commands.running import (
    Answer,
    CommandError,
    answer_of,
    compile_engine,
    kept_in,
    note,
    ran_text,
    saved,
    workers_of,
)
from hanse.scenarios.differ import differences_of, told_differences
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.traces import Trace, TraceError, read_trace
from hanse.scenarios.experiment import Task, account, compare, kept, run_tasks, trace_digest
from hanse.scenarios.experiment_file import is_experiment, read_experiment, with_arguments
from hanse.scenarios.explore import explore
from hanse.scenarios.growth.file import adjusted, is_growth_path, path_names, read_growth_path
from hanse.scenarios.integrity import ReplicationsRepeat
from hanse.scenarios.numerals import counted, short
from hanse.scenarios.parameters import Parameter, near_miss, parameter, parameters
from hanse.scenarios.report import PAGE, render, write_report
from hanse.scenarios.results import Results, ResultsError, check_target
from hanse.scenarios.running.batches import ExecutorBroken
from hanse.scenarios.scenario import Scenario, ScenarioError, load, names
from hanse.scenarios.sweep import design, sweep

_WIDEST: Final = 40
USER_ERRORS: Final = (
    CommandError,
    ExecutorBroken,
    ReplicationsRepeat,
    ResultsError,
    ScenarioError,
    TraceError,
    OSError,
)


def list_names(_: Namespace) -> Answer:
    """List what there is to run, and on what."""
    scenarios = [(name, load(name).title) for name in names()]
    paths = [(name, read_growth_path(name).title) for name in path_names()]
    rungs, others = ([(rung.name, rung.change) for rung in some] for some in (ladder, variants))
    return Answer(
        text=f"scenarios\n{columns(scenarios)}\n\nregimes, rung by rung\n{columns(rungs)}"
        f"\n\nregimes beside the ladder, each against dynamic-central\n{columns(others)}"
        f"\n\ngrowth paths\n{columns(paths)}"
    )


def show(arguments: Namespace) -> Answer:
    """Show a regime with its parts, or a scenario with every parameter."""
    if arguments.name in regimes:
        rung = _rung(arguments.name)
        parts = list(rung.regime.parts().items())
        return Answer(text=f"{rung.title}: {rung.change}\n\n{columns(parts)}")
    if Path(arguments.name).suffix != ".toml" and arguments.name not in names():
        known = [*names(), *regimes]
        raise CommandError(
            f"no scenario or regime {arguments.name!r}{near_miss(arguments.name, known)} "
            f"(there are {', '.join(known)})"
        )
    scenario = _scenario(arguments)
    rows = [("parameter", "value", "unit", "accepted", "grade", "source")]
    for key, one in parameters().items():
        bounds = ", ".join(one.choices) or _bounds(one)
        rows.append((key, _plain(scenario.values[key]), one.unit, bounds, one.grade, one.source))
    return Answer(text=f"{scenario.title}\n{scenario.question}\n\n{columns(rows, widest=_WIDEST)}")


def validate(arguments: Namespace) -> Answer:
    """Read a scenario file and draw one world of it; read an experiment file or a growth path."""
    if is_experiment(Path(arguments.file)):
        experiment = with_arguments(read_experiment(Path(arguments.file)), arguments.settings)
        return Answer(text=f"{arguments.file} is valid: {experiment_text(experiment)}")
    if is_growth_path(Path(arguments.file)):
        path = adjusted(read_growth_path(Path(arguments.file)), settings=arguments.settings)
        return Answer(text=f"{arguments.file} is valid: {growth_path_text(path)}")
    scenario = load(Path(arguments.file)).with_settings(arguments.settings)
    world = draw_world(scenario, 0)
    changed = [key for key, one in parameters().items() if scenario.values[key] != one.default]
    return Answer(
        text=f"{arguments.file} is valid: world 0 has {world.fleet.n_nodes:,} nodes and "
        f"{world.workload.n_jobs:,} jobs; {len(changed)} parameters differ from their default"
        + "".join(f"\n  {key} = {_plain(scenario.values[key])}" for key in changed)
    )


def run_one(arguments: Namespace) -> Answer:
    """Run one regime on one world and tabulate every measure."""
    scenario, trace, rung = _scenario(arguments), _trace(arguments), _rung(arguments.regime)
    if arguments.output is not None:
        check_target(arguments.output, force=arguments.force)
    draw_world(scenario, arguments.seed, trace=trace)  # what is wrong with it is bad input
    compile_engine()
    begun = perf_counter()
    tasks = [Task(keys={"scenario": scenario.name}, scenario=scenario, seed=arguments.seed)]
    outcomes = run_tasks(tasks, [rung], workers=1, progress=False, trace=trace)
    tables = kept(tasks, [rung], outcomes)
    manifest = account(scenario, tasks=tasks, regimes=[rung], outcomes=outcomes)
    manifest |= {"command": "run", "trace": trace_digest(trace)}
    results = Results(tables=tables, manifest=manifest)
    note(f"ran in {perf_counter() - begun:.2f} s")
    if arguments.output is not None:
        note(f"tables: {results.save(arguments.output, force=arguments.force)}")
    if "measures" not in tables:
        return Answer(text=failures_text(results), has_failed=True)
    rows = results.frame("measures")[["family", "measure", "value", "unit"]].to_numpy().tolist()
    lines = [(family, measure, short(value), unit) for family, measure, value, unit in rows]
    head = f"{scenario.name}, {rung.name}, seed {arguments.seed}: one world is no result"
    text = f"{head}; see hanse compare\n\n{columns(lines, numbers=(2,))}"
    if "real_tasks" in tables:
        text += f"\n\n{real_tasks_text(results)}"
    return Answer(text=text)


def compare_rungs(arguments: Namespace) -> Answer:
    """Walk the ladder, keep tables, figures and page, and tabulate the steps."""
    scenario, trace = _scenario(arguments), _trace(arguments)
    output = arguments.output or Path("results") / scenario.name
    check_target(output, force=arguments.force)
    draw_world(scenario, arguments.seeds[0], trace=trace)  # what is wrong with it is bad input
    compile_engine()
    begun = perf_counter()
    with kept_in(output, arguments) as store, workers_of(arguments) as workers:
        comparison = compare(
            scenario,
            seeds=arguments.seeds,
            workers=workers,
            progress=not arguments.no_progress,
            trace=trace,
            store=store,
        )
        results = comparison.results
        note(ran_text(results))
        pages = render(results, workers=arguments.workers)
        results = saved(results, output, store=store, force=arguments.force, pages=pages)
    note(f"page and tables made; {perf_counter() - begun:.1f} s in all")
    head = (
        f"{scenario.title or scenario.name}: {counted(len(arguments.seeds), 'world')}, "
        f"{len(ladder)} regimes. "
        "One point, not a headline.\nEach row is the paired difference from the row above, with "
        "its 95 % interval; the first row is where the ladder starts."
    )
    text = f"{head}\n\n{ladder_text(results)}\n\npage: {output / PAGE}"
    return answer_of(text, results)


def sweep_settings(arguments: Namespace) -> Answer:
    """Run a full factorial, keep the tables, and tabulate the level of each measure."""
    if is_experiment(Path(arguments.name)):
        return _explore(arguments)
    settings = dict(_values(setting) for setting in arguments.settings)
    if not settings:
        raise CommandError("a sweep needs at least one --set key=a,b,c")
    scenario = load(arguments.name)
    output = arguments.output or Path("results") / f"{scenario.name}-sweep"
    rungs = [_rung(name) for name in arguments.regime] if arguments.regime else ladder
    design(scenario, settings)  # before anything compiles
    seeds = arguments.seeds or DEFAULT_SEEDS
    work = partial(sweep, scenario, settings, regimes=rungs, seeds=seeds)
    return _swept(arguments, work, output=output, told=sweep_text)


def _explore(arguments: Namespace) -> Answer:
    """Run an experiment file, keep the tables, and tabulate its outcomes."""
    experiment = with_arguments(
        read_experiment(Path(arguments.name)),
        arguments.settings,
        seeds=arguments.seeds,
        regimes=arguments.regime,
    )
    output = arguments.output or Path("results") / experiment.name
    note(experiment_text(experiment))
    return _swept(arguments, partial(explore, experiment), output=output, told=outcomes_text)


def _swept(
    arguments: Namespace,
    work: Callable[..., Results],
    *,
    output: Path,
    told: Callable[[Results], str],
) -> Answer:
    """Run what was asked, keep each world meanwhile, save the tables and say what is in them."""
    check_target(output, force=arguments.force)
    trace = _trace(arguments)
    compile_engine()
    with kept_in(output, arguments) as store, workers_of(arguments) as workers:
        progress = not arguments.no_progress
        results = work(workers=workers, progress=progress, trace=trace, store=store)
        note(ran_text(results))
        results = saved(results, output, store=store, force=arguments.force)
    lines = [told(results), "", *changes_text(results), f"tables: {output}"]
    return answer_of("\n".join(lines), results)


def report(arguments: Namespace) -> Answer:
    """Make the page again from what is kept."""
    results = Results.load(arguments.directory)
    if arguments.output is not None:
        return Answer(text=f"page: {write_report(results, arguments.output)}")
    results.add_pages(arguments.directory, render(results))
    return Answer(text=f"page: {arguments.directory / PAGE}")


def ask(arguments: Namespace) -> Answer:
    """Answer a query over the tables of a result."""
    answer = arguments.ask(arguments.directory, arguments.query).to_pandas()
    if arguments.csv:
        return Answer(text=answer.to_csv(index=False).rstrip("\n"))
    numbers = [k for k, kind in enumerate(answer.dtypes) if kind.kind in "fiu"]
    rows = [[_cell(cell) for cell in row] for row in answer.to_numpy(object).tolist()]
    return Answer(text=columns([list(answer.columns), *rows], numbers=numbers))


def _cell(cell: object) -> str:
    """Write a number without the last digits, which say how it was added up; `--csv` has all."""
    return f"{cell:.10g}" if isinstance(cell, float) else str(cell)


def compare_results(arguments: Namespace) -> Answer:
    """Say whether two results are the same, and where not; the status says it, too."""
    one, other = Results.load(arguments.one), Results.load(arguments.other)
    found = differences_of(one, other, rtol=arguments.rtol)
    near = f" within {arguments.rtol:g}" if arguments.rtol else ""
    if not found:
        return Answer(text=f"equivalent: {len(one.tables)} tables, every row the same{near}")
    rows = [("where", "rows", "relative", "first"), *told_differences(found)]
    return Answer(text=f"not equivalent{near}\n\n{columns(rows, numbers=(1, 2))}", has_failed=True)


def analyse(arguments: Namespace) -> Answer:
    """Ask a saved result what its outcomes depend on, by the analysis that the parser was given."""
    found = arguments.analysis(Results.load(arguments.directory), arguments)
    if arguments.csv:
        return Answer(text=found.table.to_csv(index=False).rstrip("\n"))
    notes = "\n".join(found.notes)
    if found.table.empty:
        return Answer(text=notes)
    kinds = found.table.dtypes.tolist()
    numbers = [k for k, kind in enumerate(kinds) if kind.kind in "fiu"]
    return Answer(text=f"{columns(found.rows(), numbers=numbers)}\n\n{notes}")


def check_answers(arguments: Namespace) -> Answer:
    """Check cases whose answer is known on paper, with the oracles that the parser was given."""
    compile_engine()
    checks = arguments.selftest()
    rows = [("check", "expected", "measured", "tolerance", "")]
    for one in checks:
        numbers = (f"{one.expected:.6g}", f"{one.measured:.6g}", f"{one.tolerance:.2g}")
        rows.append((one.name, *numbers, "pass" if one.passed else "FAIL"))
    n_failed = sum(not one.passed for one in checks)
    text = f"{columns(rows, numbers=(1, 2, 3))}\n\n{len(checks) - n_failed} of {len(checks)} pass"
    return Answer(text=text, has_failed=n_failed > 0)


def study(arguments: Namespace) -> Answer:
    """Ask about one axis, with the study that the parser was given."""
    return Answer(text=arguments.study(arguments))


def show_verification(arguments: Namespace) -> Answer:
    """Find one cheat, and tell how."""
    return Answer(text=arguments.demo(arguments.seed))


def calibrate_machine(arguments: Namespace) -> Answer:
    """Measure this machine; write a scenario with its service times, where a file is named."""
    output: Path | None = arguments.output
    if output is not None and output.exists() and not arguments.force:
        raise CommandError(f"{output} exists; --force replaces it")
    if output is not None and not output.parent.is_dir():
        raise CommandError(f"there is no directory {str(output.parent)!r} for {output.name}")
    compile_engine()
    note("measuring for about a minute")
    measured = arguments.calibrate()
    text = f"{measured.machine}; in microseconds of CPU time\n\n"
    text += columns(measured.rows(), numbers=(1, 2))
    text += f"\n\n{measured.fit_text()}"
    if output is not None:
        output.write_text(measured.to_toml(), encoding="utf-8")
        text += f"\n\nscenario: {output}; see hanse compare {output}"
    return Answer(text=text)


def _scenario(arguments: Namespace) -> Scenario:
    return load(arguments.name).with_settings(arguments.settings)


def _trace(arguments: Namespace) -> Trace | None:
    if arguments.trace is None:
        if arguments.trace_from:
            raise CommandError("--trace-from needs a --trace to begin in")
        return None
    return read_trace(arguments.trace).since(arguments.trace_from)


def _rung(name: str) -> Rung:
    for rung in named_rungs:
        if rung.name == name:
            return rung
    known = ", ".join(regimes)
    raise CommandError(f"unknown regime {name!r}{near_miss(name, regimes)} (there are {known})")


def _values(setting: str) -> tuple[str, list[str]]:
    """Split a swept setting; values that are lists themselves are parted by semicolons."""
    key, equals, text = setting.partition("=")
    if not equals:
        raise CommandError(f"a setting must read key=a,b,c, got {setting!r}")
    mark = ";" if isinstance(parameter(key).default, tuple) else ","
    return key, [value.strip() for value in text.split(mark)]


def _bounds(one: Parameter) -> str:
    if one.low is None and one.high is None:
        return "any"
    return f"{_bound(one.low)} .. {_bound(one.high)}"


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:,.12g}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


COMMANDS: Final[Mapping[str, Callable[[Namespace], Answer]]] = {
    "list": list_names,
    "show": show,
    "validate": validate,
    "run": run_one,
    "compare": compare_rungs,
    "sweep": sweep_settings,
    "report": report,
    "sql": ask,
    "diff": compare_results,
    "sensitivity": analyse,
    "infer": analyse,
    "discover": analyse,
    "selftest": check_answers,
    "verify": show_verification,
    "calibrate": calibrate_machine,
    "seasons": study,
    "boundary": study,
    "grow": grow_path,
    "growth": study,
    "figure": study,
}
