"""Sampling: the one place for how the unit cube is sampled, and what each method may be told."""

from collections.abc import Callable, Mapping
from importlib import import_module
from math import log2
from typing import Any, Final

import numpy as np
from scipy.stats import qmc

from hanse.market.units import Floats
from hanse.scenarios.parameters import ScenarioError, near_miss
from hanse.scenarios.streams import spawning_stream

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "grid": ("levels",),
    "list": ("points",),
    "frame": ("file",),
    "lhs": ("n", "seed"),
    "sobol": ("n", "seed"),
    "saltelli": ("n", "seed", "second_order"),
    "morris": ("n", "seed", "levels"),
}
"""Methods by name, and the options that each takes."""

GIVEN_ROWS: Final = ("list", "frame")
BASE_ROWS_MIN: Final = 16
"""Of fewer base rows a bootstrap gives no interval of a Sobol index that means anything."""
TRAJECTORIES_MIN: Final = 4
"""The fewest for which Morris (Technometrics 33, 1991) reports a spread."""
_LEVELS: Final = 4
_N_MIN: Final[Mapping[str, int]] = {
    "lhs": 2,
    "sobol": 2,
    "saltelli": BASE_ROWS_MIN,
    "morris": TRAJECTORIES_MIN,
}
_POWERS: Final = ("sobol", "saltelli")


def checked_options(method: object, options: Mapping[str, object]) -> dict[str, Any]:
    """Return what a method is told, its defaults filled in.

    Raises
    ------
    ScenarioError
        If there is no such method, or it takes no such option, or the option is out of bounds.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ScenarioError(
            f"design.method must be one of {', '.join(METHODS)}, got {method!r}"
            f"{near_miss(str(method), METHODS)}"
        )
    known = METHODS[method]
    for name in options:
        if name not in known:
            raise ScenarioError(
                f"design.{name} is no option of {method}, which takes {', '.join(known)}"
                f"{near_miss(name, known)}"
            )
    told: dict[str, Any] = dict(options)
    if "n" in known:
        if "n" not in told:
            raise ScenarioError(f"design.n is missing: {method} needs to know how many")
        _check_whole(method, "n", told["n"], low=_N_MIN[method])
        if method in _POWERS:
            _check_power(method, told["n"])
        told.setdefault("seed", 0)
        _check_whole(method, "seed", told["seed"], low=0)
    if method == "saltelli" and not isinstance(told.setdefault("second_order", False), bool):
        raise ScenarioError(
            f"design.second_order must be true or false, got {told['second_order']!r}"
        )
    if method == "morris":
        _check_whole(method, "levels", told.setdefault("levels", _LEVELS), low=_LEVELS)
        if told["levels"] % 2:
            raise ScenarioError(f"design.levels must be even for morris, got {told['levels']}")
    elif "levels" in told:
        _check_whole(method, "levels", told["levels"], low=2)
    return told


def sampled(method: str, n_factors: int, options: Mapping[str, Any]) -> Floats:
    """Sample the unit cube.

    Parameters
    ----------
    method : "lhs", "sobol", "saltelli" or "morris".
    options : as `checked_options` returned them.

    Returns
    -------
    ndarray of float, shape (n_points, n_factors)
        Latin hypercube and scrambled Sobol points by scipy; Saltelli's rows (Computer Physics
        Communications 145, 2002) and Morris's trajectories by SALib, in the order it analyses.
    """
    unit: Floats = np.asarray(_SAMPLERS[method](n_factors, options), dtype=float)
    return unit


def points_per_row(second_order: bool, n_factors: int) -> int:
    """Count the points that each base row of Saltelli's design makes."""
    return 2 * n_factors + 2 if second_order else n_factors + 2


def unit_problem(n_factors: int) -> dict[str, Any]:
    """Return the problem of SALib whose variables are quantiles."""
    return {
        "num_vars": n_factors,
        "names": [str(k) for k in range(n_factors)],
        "bounds": [[0.0, 1.0]] * n_factors,
    }


def salib(module: str) -> Any:  # noqa: ANN401 - it has no annotations
    """Import a module of SALib, which only some designs need."""
    try:
        return import_module(f"SALib.{module}")
    except ModuleNotFoundError as error:
        raise ScenarioError(
            "design.method saltelli or morris needs SALib: pip install 'hanse[analysis]'"
        ) from error


def _lhs(n_factors: int, options: Mapping[str, Any]) -> object:
    cube = qmc.LatinHypercube(n_factors, rng=_rng(options))
    return cube.random(options["n"])


def _sobol(n_factors: int, options: Mapping[str, Any]) -> object:
    return qmc.Sobol(n_factors, rng=_rng(options)).random(options["n"])


def _saltelli(n_factors: int, options: Mapping[str, Any]) -> object:
    return salib("sample.sobol").sample(
        unit_problem(n_factors),
        options["n"],
        calc_second_order=options["second_order"],
        seed=_rng(options),
    )


def _morris(n_factors: int, options: Mapping[str, Any]) -> object:
    return salib("sample.morris").sample(
        unit_problem(n_factors), options["n"], num_levels=options["levels"], seed=_rng(options)
    )


_SAMPLERS: Final[Mapping[str, Callable[[int, Mapping[str, Any]], object]]] = {
    "lhs": _lhs,
    "sobol": _sobol,
    "saltelli": _saltelli,
    "morris": _morris,
}


def _rng(options: Mapping[str, Any]) -> np.random.Generator:
    return spawning_stream(options["seed"], "design")


def _check_whole(method: str, name: str, value: object, *, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ScenarioError(f"design.{name} must be a whole number, got {value!r}")
    if value < low:
        raise ScenarioError(f"design.{name} must be at least {low} for {method}, got {value}")


def _check_power(method: str, n: int) -> None:
    if n & (n - 1):
        below = 2 ** int(log2(n))
        raise ScenarioError(
            f"design.n must be a power of two for {method}, got {n}; "
            f"did you mean {below} or {2 * below}?"
        )
