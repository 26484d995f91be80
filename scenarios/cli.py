"""The command line: the one place for its words, its exit statuses, and what goes to which stream.

Results go to stdout and to files, progress and times to stderr. The exit status is 0 if all went
well, 1 if a run or a check failed, 2 for bad input, 130 after an interrupt.
"""

import argparse
import gc
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from hanse.scenarios.commands.arguments import (
    add_execution,
    add_output,
    add_scenario,
    add_settings,
    add_workers,
    at_least_one,
    levels,
    parse_seeds,
    whole,
)
from hanse.scenarios.parameters import near_miss

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
INTERRUPTED_LINE: Final = "\nhanse: interrupted, nothing was written"
DEFAULT_REGIME: Final = "central"
STUDIES: Final = ("boundary", "growth", "figure")
_CHOICE: Final = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
_WORD: Final = re.compile(r"[\w-]+")
ANALYSES: Final = ("sensitivity", "infer", "discover")


class UsageError(ValueError):
    """The command line itself cannot be understood."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises its complaint, so that it is one line like every other."""

    def error(self, message: str) -> NoReturn:
        if misspelt := _CHOICE.search(message):
            message += near_miss(misspelt[1], _WORD.findall(misspelt[2]))
        raise UsageError(f"{message} (see {self.prog} --help)")

    def parse_known_args(  # type: ignore[override]  # it is overloaded for types of namespaces
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse what is not known here, and not above, where the options of a command are not."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = near_miss(unknown[0].partition("=")[0], _WORD.findall(self.format_usage()))
            self.error(f"unknown argument {unknown[0]!r}{near}")
        return found, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    try:
        arguments = build_parser().parse_args(argv)
    except UsageError as error:
        return _complain(error)
    try:
        return _answer(arguments)
    except KeyboardInterrupt as interrupt:
        print(f"\nhanse: {interrupt}" if interrupt.args else INTERRUPTED_LINE, file=sys.stderr)
        return INTERRUPTED


def _answer(arguments: argparse.Namespace) -> int:
    """Run the command that was chosen and print its answer."""
    # Only now: `hanse --help` must not wait for numba, pandas and matplotlib, and no other command
    # for the statistics that the oracles need.
    from hanse.scenarios.commands import dispatch

    # What is imported stays: the collector need not walk it again and again, a tenth of a run.
    gc.freeze()
    if arguments.command == "selftest":
        from hanse.scenarios.selftest.cases import selftest

        arguments.selftest = selftest
    if arguments.command == "verify":
        from hanse.scenarios.commands.verify_demo import verify_demo

        arguments.demo = verify_demo
    if arguments.command == "calibrate":
        from hanse.scenarios.calibration import calibrate

        arguments.calibrate = calibrate
    if arguments.command in ANALYSES:
        arguments.analysis = _analysis(arguments.command)
    if arguments.command == "sql":
        arguments.ask = _duckdb_query()
    if arguments.command in STUDIES:
        arguments.study = _study(arguments.command)
    if arguments.command == "seasons":
        from hanse.scenarios.commands.seasons import seasons

        arguments.study = seasons
    if getattr(arguments, "executor", None) == "dask":
        arguments.connected = _dask_connected()
    try:
        answer = dispatch.COMMANDS[arguments.command](arguments)
        print(answer.text, flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except dispatch.USER_ERRORS as error:
        return _complain(error)
    return FAILED if answer.has_failed else 0


def _duckdb_query() -> object:
    try:
        from hanse.scenarios.sql import query
    except ModuleNotFoundError as error:
        return _missing(error, "sql")
    return query


def _study(command: str) -> object:
    try:
        from hanse.scenarios.commands import studies as command_studies
    except ModuleNotFoundError as error:
        return _missing(error, "analysis")
    return getattr(command_studies, command)


def _analysis(command: str) -> object:
    try:
        from hanse.scenarios.analysis import analyses
    except ModuleNotFoundError as error:
        return _missing(error, "analysis")
    return analyses.ANALYSES[command]


def _dask_connected() -> object:
    try:
        from hanse.scenarios.running.dask_executor import connected
    except ModuleNotFoundError as error:
        return _missing(error, "dask")
    return connected


def _missing(error: ModuleNotFoundError, extra: str) -> object:
    """Return what complains, once it is called, of what an extra would have brought."""
    message = f"{error.name} is not installed; pip install 'hanse[{extra}]' brings it"

    def complain(*_: object) -> NoReturn:
        raise OSError(message)

    return complain


def build_parser() -> argparse.ArgumentParser:
    """Describe every command and option."""
    parser = _Parser(
        prog="hanse",
        description="A laboratory for compute markets: central, market and mixed routing on the "
        "same worlds, and what coordination costs.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    commands.add_parser("list", help="list scenarios and regimes")

    show = commands.add_parser("show", help="show a scenario with its parameters, or a regime")
    show.add_argument("name", help="scenario, scenario file or regime")
    add_settings(show)

    validate = commands.add_parser("validate", help="check what a file asks, run nothing")
    validate.add_argument("file", help="a scenario, experiment or growth path in TOML")
    add_settings(validate)

    run = commands.add_parser("run", help="run one regime on one world")
    add_scenario(run)
    run.add_argument("--regime", default=DEFAULT_REGIME, help="default: %(default)s")
    run.add_argument("--seed", type=whole, default=0, help="which world; default: %(default)s")
    add_output(run, "keep the tables in this directory")

    compare = commands.add_parser("compare", help="walk the ladder of regimes on the same worlds")
    add_scenario(compare)
    add_execution(compare)
    add_output(compare, "directory for tables, figures and page; default: results/NAME")

    sweep = commands.add_parser(
        "sweep", help="run an experiment file, or regimes at every combination of settings"
    )
    add_scenario(sweep)
    sweep.add_argument("--regime", action="append", help="repeatable; default: the whole ladder")
    add_execution(sweep)
    sweep.set_defaults(seeds=None)  # an experiment file has seeds of its own
    add_output(sweep, "directory for the tables; default: results/NAME-sweep")

    report = commands.add_parser("report", help="make the page of a comparison again")
    report.add_argument("directory", type=Path, help="what `hanse compare` wrote")
    report.add_argument("-o", "--output", type=Path, help="write only the page, to this file")

    _add_questions(commands)
    _add_studies(commands)

    commands.add_parser("selftest", help="check cases whose answer is known on paper")

    _add_machine(commands)
    return parser


def _add_questions(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Describe what asks a result that is saved."""
    sql = commands.add_parser("sql", help="ask a result a question in SQL")
    sql.add_argument("directory", type=Path, help="what a command wrote")
    sql.add_argument("query", help='such as "select measure, avg(value) from measures group by 1"')
    sql.add_argument("--csv", action="store_true", help="answer as CSV")

    diff = commands.add_parser("diff", help="say whether two results are the same, and where not")
    diff.add_argument("one", type=Path, help="what a command wrote")
    diff.add_argument("other", type=Path, help="what another wrote")
    diff.add_argument(
        "--rtol", type=float, default=0.0, help="numbers as near as this are the same; default: 0"
    )

    _add_analyses(commands)


def _add_analyses(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Describe what asks a saved result what its outcomes depend on."""
    parsers = {
        name: commands.add_parser(name, help=text)
        for name, text in zip(
            ANALYSES,
            (
                "say how much of an outcome each factor accounts for",
                "test each regime against the one before, on the same worlds",
                "find where in the parameter space an outcome lies below or above a threshold",
            ),
            strict=True,
        )
    }
    for parser in parsers.values():
        parser.add_argument("directory", type=Path, help="what hanse sweep or compare wrote")
        parser.add_argument("--csv", action="store_true", help="answer as CSV")
    for name in ("sensitivity", "discover"):
        parsers[name].add_argument("--outcome", help="which; needed where there are several")
        parsers[name].add_argument("--regime", help="on which it is read, where on several")
    infer, boxes = parsers["infer"], parsers["discover"]
    infer.add_argument("--measure", action="append", help="repeatable; default: welfare_usd")
    infer.add_argument("--family", action="append", help="repeatable; default: each")
    infer.add_argument("--point", type=whole, help="of a sweep; default: all, as one family")
    infer.add_argument("--margin", type=float, help="test equivalence within it, too")
    boxes.add_argument("--below", type=float, help="threshold; default: 0")
    boxes.add_argument("--above", type=float, help="threshold, in the place of --below")
    boxes.add_argument("--limits", type=at_least_one, default=3, help="of a box; default: 3")


def _add_studies(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Describe what asks about one axis, path or mechanism."""
    _add_boundary(commands)
    _add_growth(commands)

    figure = commands.add_parser("figure", help="draw the mechanism of a scenario of the library")
    figure.add_argument("name", help="scenario of the library that has a figure")
    add_settings(figure)
    figure.add_argument("--seeds", type=parse_seeds, help="default: a few, as each figure needs")
    figure.add_argument(
        "-o",
        "--output",
        type=Path,
        help="a .png or .svg; its manifest lies beside it; default: results/NAME.png",
    )


def _add_boundary(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Describe what looks for an edge, or leads a run up a load and down again."""
    boundary = commands.add_parser(
        "boundary",
        help="find where a scenario ceases to be executable, or whether it finds back from there",
    )
    boundary.add_argument("name", help="scenario of the library, or a TOML file")
    add_settings(boundary)
    boundary.add_argument("--axis", metavar="KEY", help="look for an edge along this parameter")
    boundary.add_argument("--low", type=float, help="where to begin")
    boundary.add_argument("--high", type=float, help="where to end")
    boundary.add_argument("--tolerance", type=float, help="how near; default: 1 %% of the range")
    boundary.add_argument(
        "--ramp",
        type=levels,
        metavar="A,B,C",
        help="lead each run up these multiples of its load and down again instead",
    )
    boundary.add_argument("--regime", default=DEFAULT_REGIME, help="default: %(default)s")
    boundary.add_argument("--seeds", type=parse_seeds, default=tuple(range(10)), help="default: 10")
    boundary.add_argument(
        "--pulse", type=float, default=0.0, metavar="S", help="overload to find back from, seconds"
    )

    boundary.add_argument(
        "--payload-min", type=float, metavar="SHARE", help="least payload rate; default: 0.05"
    )
    boundary.add_argument(
        "--growth-max", type=float, metavar="SHARE", help="most growth of work; default: 0.01"
    )
    boundary.add_argument(
        "-o", "--output", type=Path, help="draw the ramp in this .png or .svg, manifest beside it"
    )


def _add_growth(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Describe what takes a scenario along a path, and what says how a measure grows."""
    grow = commands.add_parser(
        "grow", help="take a scenario along a growth path, and say when levels are first passed"
    )
    grow.add_argument("path", help="growth path that comes with hanse, or a TOML file")
    grow.add_argument("--scenario", help="what grows; default: as the path says")
    add_settings(grow)
    grow.add_argument("--paths", type=at_least_one, help="how many; default: as the path says")
    grow.add_argument("--regime", action="append", help="repeatable; default: as the path says")
    add_workers(grow)
    add_output(grow, "directory for tables and figure; default: results/PATH")

    growth = commands.add_parser("growth", help="say how a measure grows along a swept parameter")
    growth.add_argument("directory", type=Path, help="what `hanse sweep` wrote")
    growth.add_argument("--axis", required=True, metavar="KEY", help="a parameter that was swept")
    growth.add_argument("--measure", default="sync_cost_per_job_gpu_s", help="default: %(default)s")
    growth.add_argument("--family", default="model_call", help="default: %(default)s")
    growth.add_argument("--regime", help="default: every one in the sweep")

    _add_seasons(commands)


def _add_seasons(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Describe what plays a market again and again; it needs no extra."""
    seasons = commands.add_parser(
        "seasons", help="let agents decide between runs, and set what comes out beside real markets"
    )
    seasons.add_argument("name", help="scenario of the library, or a TOML file")
    add_settings(seasons)
    seasons.add_argument("--regime", default=DEFAULT_REGIME, help="default: %(default)s")
    seasons.add_argument("--seasons", type=at_least_one, default=8, help="default: %(default)s")
    seasons.add_argument("--seeds", type=parse_seeds, default=tuple(range(5)), help="default: 5")
    add_output(seasons, "directory for the tables; default: results/NAME-seasons")


def _add_machine(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Describe what shows and measures this machine instead of running a scenario."""
    verify = commands.add_parser("verify", help="watch how work is verified")
    actions = verify.add_subparsers(dest="action", metavar="ACTION", required=True)
    demo = actions.add_parser("demo", help="really find one cheat, round by round")
    demo.add_argument("--seed", type=whole, default=0, help="which cheat; default: %(default)s")

    calibrate = commands.add_parser(
        "calibrate", help="measure what control and verification cost on this machine"
    )
    add_output(
        calibrate, "write a scenario with these service times to this TOML file", what="the file"
    )


def _complain(error: Exception) -> int:
    told = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        told = f"{error.filename}: {error.strerror}"
    text = " ".join(told.split())
    print(f"hanse: error: {text}", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
