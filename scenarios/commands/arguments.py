"""Arguments: the one place for what several commands take, and for how it is read."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DEFAULT_SEEDS: Final = tuple(range(20))
WHOLE_MAX: Final = (1 << 63) - 1
SEEDS_MAX: Final = 1_000_000


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read `20` as the first twenty seeds, `0,1,5` as those, `10:20` as that range."""
    try:
        seeds = _seeds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a number of seeds, a list 0,1,5 or a range 0:20, got {text!r}"
        ) from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"must name at least one seed, got {text!r}")
    greatest = seeds[-1] if isinstance(seeds, range) else max(seeds)
    if greatest > WHOLE_MAX or len(seeds) > SEEDS_MAX:
        raise argparse.ArgumentTypeError(
            f"must be at most {SEEDS_MAX:,} seeds of at most {WHOLE_MAX}, got {text!r}"
        )
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"must be distinct and at least 0, got {text!r}")
    return tuple(seeds)


def _seeds(text: str) -> Sequence[int]:
    if ":" in text:
        first, _, end = text.partition(":")
        return range(int(first or 0), int(end))
    if "," in text:
        return [int(part) for part in text.rstrip(",").split(",")]
    return range(int(text))


def levels(text: str) -> tuple[float, ...]:
    """Read levels of a load, such as `0.5,1,2`."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers such as 0.5,1,2, got {text!r}") from None


def whole(text: str) -> int:
    """Read a whole number of at least 0, of at most 64 bits: what a seed may be."""
    if text.isdecimal() and int(text) > WHOLE_MAX:
        raise argparse.ArgumentTypeError(f"must be at most {WHOLE_MAX}, got {text!r}")
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


def at_least_one(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def add_scenario(parser: argparse.ArgumentParser) -> None:
    """Ask which scenario, changed how, and whether its jobs are replayed."""
    parser.add_argument("name", help="scenario of the library, or a TOML file")
    add_settings(parser)
    parser.add_argument("--trace", type=Path, metavar="FILE", help="replay jobs from here")
    parser.add_argument(
        "--trace-from",
        type=whole,
        default=0,
        metavar="S",
        help="begin with what the trace has from S seconds on",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Ask which parameters to change."""
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a parameter; repeatable; in a sweep KEY=A,B,C (lists: A1,A2;B1,B2)",
    )


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Ask which worlds, and who works."""
    parser.add_argument(
        "--seeds",
        type=parse_seeds,
        default=DEFAULT_SEEDS,
        help="how many (20), which (0,1,5) or a range (0:20); default: 20",
    )
    add_workers(parser)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Ask who works, and whether to go on with what is kept."""
    parser.add_argument("-p", "--workers", type=at_least_one, help="default: as many as cores")
    parser.add_argument(
        "--executor",
        choices=("pool", "serial", "dask"),
        default="pool",
        help="processes here (default), this process alone, or a Dask scheduler of yours",
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, such as tcp://host:8786")
    parser.add_argument(
        "--fresh", action="store_true", help="drop what an interrupted call has kept, begin again"
    )
    parser.add_argument("--no-progress", action="store_true", help="no bar on stderr")


def add_output(
    parser: argparse.ArgumentParser,
    text: str,
    *,
    what: str = "a directory that is no earlier result",
) -> None:
    """Ask where to write."""
    parser.add_argument("-o", "--output", type=Path, help=text)
    parser.add_argument("--force", action="store_true", help=f"replace {what}")
