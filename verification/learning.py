"""The one place for how parties come to behave as they do: populations that learn from pay-offs.

A game says what each strategy of a solver earns against each of a verifier (`game_of`, from the
outcomes of a protocol). Two populations meet at random in it and shift towards what pays: by
replication, by best response, or by experience. Nothing is drawn; a population is its mean.

References
----------
.. [TaylorJonker] P. Taylor and L. Jonker, Math. Biosciences 40 (1978): the replicator equation; for
   two populations, J. Hofbauer and K. Sigmund, Evolutionary Games (1998), chapters 10 and 11.
.. [GilboaMatsui] I. Gilboa and A. Matsui, Econometrica 59 (1991): best response dynamics.
.. [EWA] C. Camerer and T. Ho, Econometrica 67 (1999): experience-weighted attraction.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp, trapezoid
from scipy.special import log_softmax, softmax

from hanse.verification.protocols.expectation import Game

Floats = NDArray[np.float64]

_TOLERANCE: Final = 1e-10
"""Relative and absolute error of the integrator, per step; in logarithms of shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Shares of the strategies in two populations; shapes (n_solvers,) and (n_verifiers,)."""

    solver: Floats
    verifier: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            shares = getattr(self, field.name)
            if shares.min() < 0.0 or abs(shares.sum() - 1.0) > 1e-9:
                raise ValueError(f"shares of {field.name} must be >= 0 and sum to 1, got {shares}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """How two populations moved.

    Attributes
    ----------
    time : shape (n_times,), in units of the dynamics: rounds, or 1 over USD for replication.
    solver, verifier : shapes (n_times, n_solvers) and (n_times, n_verifiers).
    """

    time: Floats
    solver: Floats
    verifier: Floats

    @property
    def last(self) -> Mix:
        return Mix(solver=_shares(self.solver[-1]), verifier=_shares(self.verifier[-1]))

    @property
    def average(self) -> Mix:
        """The mean over time, which may be at rest where the path never is."""
        length = self.time[-1] - self.time[0]
        return Mix(
            solver=_shares(trapezoid(self.solver, self.time, axis=0) / length),
            verifier=_shares(trapezoid(self.verifier, self.time, axis=0) / length),
        )

    def turns_around(self, centre: Mix, *, solver: int, verifier: int) -> float:
        """Return how often the path went round a point, in the plane of two strategies' shares.

        Signed: counterclockwise is positive, with the solver's share to the right.
        """
        x = self.solver[:, solver] - centre.solver[solver]
        y = self.verifier[:, verifier] - centre.verifier[verifier]
        angle = np.unwrap(np.arctan2(y, x))
        return float((angle[-1] - angle[0]) / (2.0 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """How a population weighs what it has seen [EWA]_.

    Attributes
    ----------
    memory : share of old attraction that is kept each round, from 0 to 1.
    forgone : weight of what strategies not played would have paid, from 0 to 1.
    cumulation : 1 adds pay-offs up, 0 averages them.
    sensitivity_per_usd : how sharply choice follows attraction, > 0. Logit choice by the latest
        round alone is memory 0 and forgone 1.
    """

    memory: float = 0.0
    forgone: float = 1.0
    cumulation: float = 0.0
    sensitivity_per_usd: float = 1.0

    def __post_init__(self) -> None:
        for name in ("memory", "forgone", "cumulation"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.sensitivity_per_usd <= 0.0:
            raise ValueError(f"sensitivity_per_usd must be above 0, got {self.sensitivity_per_usd}")


def payoffs_in(game: Game, mix: Mix) -> tuple[Floats, Floats]:
    """Return what each strategy earns on average against the other population's mix, in USD."""
    return game.solver_usd @ mix.verifier, mix.solver @ game.verifier_usd


def is_equilibrium(game: Game, mix: Mix, *, tolerance_usd: float = 1e-9) -> bool:
    """Say whether no strategy earns more than those that are played."""
    solver_usd, verifier_usd = payoffs_in(game, mix)
    regret = (
        solver_usd.max() - mix.solver @ solver_usd,
        verifier_usd.max() - mix.verifier @ verifier_usd,
    )
    return bool(max(regret) <= tolerance_usd)


def pure_equilibria(game: Game) -> tuple[tuple[int, int], ...]:
    """Return the cells, solver's row and verifier's column, that nobody would leave alone."""
    best_row = game.solver_usd == game.solver_usd.max(axis=0, keepdims=True)
    best_column = game.verifier_usd == game.verifier_usd.max(axis=1, keepdims=True)
    return tuple((int(row), int(column)) for row, column in np.argwhere(best_row & best_column))


def replicate(game: Game, start: Mix, time: Floats) -> Path:
    """Let strategies grow by how much they earn beyond their population's mean [TaylorJonker]_.

    Integrated in logarithms of shares, where the equation reads d log x = pay-off - mean and no
    share can fall below zero. A strategy that nobody plays stays unplayed.

    Parameters
    ----------
    time : shape (n_times,), increasing; when to report. Its unit is 1 / USD.
    """
    n_solvers = len(game.solvers)

    def grow(_: float, logs: Floats) -> Floats:
        x, y = softmax(logs[:n_solvers]), softmax(logs[n_solvers:])
        growth: Floats = np.concatenate([game.solver_usd @ y, x @ game.verifier_usd])
        # Softmax does not change if a constant is added, and the mean keeps logarithms small.
        growth[:n_solvers] -= x @ growth[:n_solvers]
        growth[n_solvers:] -= y @ growth[n_solvers:]
        return growth

    with np.errstate(divide="ignore"):
        logs = np.log(np.concatenate([start.solver, start.verifier]))
    played = np.isfinite(logs)
    # The integrator knows no infinities: a share of e**-700 is none.
    logs[~played] = -700.0

    def grow_played(now: float, state: Floats) -> Floats:
        return np.where(played, grow(now, state), 0.0)

    return _path(_integrated(grow_played, logs, time), time, n_solvers)


def respond_by_logit(game: Game, start: Mix, time: Floats, *, sensitivity_per_usd: float) -> Path:
    """Let a share of each population revise per unit of time, by logit choice.

    dx = softmax(sensitivity x pay-off) - x: as the sensitivity grows, best response.
    """
    n_solvers = len(game.solvers)

    def revise(_: float, shares: Floats) -> Floats:
        x, y = shares[:n_solvers], shares[n_solvers:]
        choice = np.concatenate(
            [
                softmax(sensitivity_per_usd * (game.solver_usd @ y)),
                softmax(sensitivity_per_usd * (x @ game.verifier_usd)),
            ]
        )
        moved: Floats = choice - shares
        return moved

    shares = _integrated(revise, np.concatenate([start.solver, start.verifier]), time)
    return Path(time=time, solver=shares[:, :n_solvers], verifier=shares[:, n_solvers:])


def best_respond(game: Game, start: Mix, *, revising: float, n_rounds: int) -> Path:
    """Let a share of each population switch, each round, to what is best now [GilboaMatsui]_.

    Of equally good strategies the first is chosen.

    Raises
    ------
    ValueError
        If `revising` is not above 0 and at most 1.
    """
    if not 0.0 < revising <= 1.0:
        raise ValueError(f"revising must be above 0 and at most 1, got {revising}")

    def revise(solver: Floats, verifier: Floats) -> tuple[Floats, Floats]:
        best_solver = int((game.solver_usd @ verifier).argmax())
        best_verifier = int((solver @ game.verifier_usd).argmax())
        return (
            _towards(solver, best_solver, revising),
            _towards(verifier, best_verifier, revising),
        )

    return _rounds(revise, start, n_rounds)


def learn(game: Game, start: Mix, experience: Experience, *, n_rounds: int) -> Path:
    """Let populations learn by experience-weighted attraction, in the mean [EWA]_.

    A_j <- (m N A_j + [f + (1 - f) x_j] pay-off_j) / N' and N' = m (1 - c) N + 1, choice by softmax;
    x_j, the share that plays j, stands for whether it was played. The first attractions are those
    that make the start.

    Raises
    ------
    ValueError
        If a strategy is unplayed at the start: no attraction is that low.
    """
    if min(start.solver.min(), start.verifier.min()) <= 0.0:
        raise ValueError(f"all strategies must be played at the start, got {start}")
    sensitivity = experience.sensitivity_per_usd
    weight = 1.0
    attractions = [np.log(start.solver) / sensitivity, np.log(start.verifier) / sensitivity]

    def revise(solver: Floats, verifier: Floats) -> tuple[Floats, Floats]:
        nonlocal weight
        old, weight = weight, experience.memory * (1.0 - experience.cumulation) * weight + 1.0
        earned = (game.solver_usd @ verifier, solver @ game.verifier_usd)
        for side, (shares, usd) in enumerate(zip((solver, verifier), earned, strict=True)):
            seen = (experience.forgone + (1.0 - experience.forgone) * shares) * usd
            attractions[side] = (experience.memory * old * attractions[side] + seen) / weight
        return softmax(sensitivity * attractions[0]), softmax(sensitivity * attractions[1])

    return _rounds(revise, start, n_rounds)


def _towards(shares: Floats, chosen: int, revising: float) -> Floats:
    moved: Floats = (1.0 - revising) * shares
    moved[chosen] += revising
    return moved


def _rounds(
    revise: Callable[[Floats, Floats], tuple[Floats, Floats]], start: Mix, n_rounds: int
) -> Path:
    solver = np.tile(start.solver, (n_rounds + 1, 1))
    verifier = np.tile(start.verifier, (n_rounds + 1, 1))
    for i in range(n_rounds):
        solver[i + 1], verifier[i + 1] = revise(solver[i], verifier[i])
    time = np.arange(n_rounds + 1, dtype=np.float64)
    return Path(time=time, solver=solver, verifier=verifier)


def _integrated(move: Callable[[float, Floats], Floats], start: Floats, time: Floats) -> Floats:
    solved = solve_ivp(
        move,
        (float(time[0]), float(time[-1])),
        start,
        method="DOP853",
        t_eval=time,
        rtol=_TOLERANCE,
        atol=_TOLERANCE,
    )
    if not solved.success:
        raise ArithmeticError(f"the dynamics could not be integrated: {solved.message}")
    reported: Floats = solved.y.T
    return reported


def _path(logs: Floats, time: Floats, n_solvers: int) -> Path:
    return Path(
        time=time,
        solver=np.exp(log_softmax(logs[:, :n_solvers], axis=1)),
        verifier=np.exp(log_softmax(logs[:, n_solvers:], axis=1)),
    )


def _shares(values: Floats) -> Floats:
    """Undo what rounding and integration did to a sum of one."""
    positive = np.maximum(values, 0.0)
    shares: Floats = positive / positive.sum()
    return shares
