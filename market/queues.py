"""The one place for queues whose answers are known on paper: pooling, choices, and who joins.

Times are in the unit of the mean service, and utilisation is below 1, unless a name says more.
"""

from dataclasses import dataclass
from math import floor
from typing import Final

_ROUND_OFF: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class JoiningQueue:
    """Who joins a queue that all can see, and what that is worth a second.

    Up to `selfish_limit` customers are in the system if each pleases itself, up to `social_limit`
    at the optimum. A toll above `toll_above` and at most `toll_at_most` makes the one the other;
    where the first is negative, none is needed.
    """

    selfish_limit: int
    social_limit: int
    selfish_welfare: float
    social_welfare: float
    toll_above: float
    toll_at_most: float


def erlang_c(servers: int, utilisation: float) -> float:
    """Return the probability that a job waits in M/M/c (Erlang 1917).

    By the recursion of Erlang's B in the number of servers, which neither over- nor underflows.

    Examples
    --------
    >>> round(erlang_c(2, 0.8), 6)
    0.711111
    """
    load_erlang, blocked = servers * _utilisation(utilisation), 1.0
    for server in range(1, servers + 1):
        blocked = load_erlang * blocked / (server + load_erlang * blocked)
    return blocked / (1.0 - utilisation * (1.0 - blocked))


def random_routing_time(utilisation: float) -> float:
    """Return the mean time in the system if each job goes to a server at random.

    Each server is then M/M/1: 1 / (1 - utilisation).
    """
    return 1.0 / (1.0 - _utilisation(utilisation))


def two_choices_time(utilisation: float) -> float:
    """Return the mean time in the system if each job joins the shorter of two queues at random.

    The fixed point for infinitely many servers: a share utilisation**(2**i - 1) of them has i jobs
    or more, which by Little's law makes the sum over i >= 1 of utilisation**(2**i - 2)
    (Mitzenmacher, IEEE Transactions on Parallel and Distributed Systems 12(10), 2001,
    doi:10.1109/71.963420).

    Examples
    --------
    >>> round(two_choices_time(0.9), 3)
    2.614
    """
    time, longest, share = 0.0, 1, 1.0
    _utilisation(utilisation)
    while share > 0.0 and time + share > time:
        time, longest = time + share, longest + 1
        share = utilisation ** (2.0**longest - 2.0)
    return time


def pooled_time(servers: int, utilisation: float) -> float:
    """Return the mean time in the system if all servers share one queue: M/M/c."""
    return 1.0 + erlang_c(servers, utilisation) / (servers * (1.0 - utilisation))


def joining_queue(
    *, reward: float, waiting_cost: float, service_rate: float, arrival_rate: float
) -> JoiningQueue:
    """Compare who joins a visible M/M/1 queue with who should.

    Naor's queue (Econometrica 37(1), 1969, doi:10.2307/1909200). A customer that would be the n-th
    in the system joins if the reward covers n waiting_cost / service_rate and the toll; it does not
    count what its being there costs those who come later, so the queue is too long. Welfare is
    rewards less waiting; tolls are transfers.

    Parameters
    ----------
    reward, waiting_cost : money for one service, and for one unit of time in the system.
    service_rate, arrival_rate : per unit of time; arrivals may exceed services.

    Raises `ValueError` unless all are positive and the reward covers an own service.

    Examples
    --------
    >>> queue = joining_queue(reward=5, waiting_cost=1, service_rate=1, arrival_rate=0.8)
    >>> queue.selfish_limit, queue.social_limit, queue.toll_above, queue.toll_at_most
    (5, 2, 2.0, 3.0)
    """
    least = min(reward, waiting_cost, service_rate, arrival_rate)
    if not least > 0:
        raise ValueError(f"rewards, costs and rates must be above 0, got {least}")
    # A reward that covers n services exactly does so in spite of round-off.
    limit = floor(reward * service_rate / waiting_cost * (1.0 + _ROUND_OFF))
    if limit < 1:
        raise ValueError(f"reward must cover one service, worth {waiting_cost / service_rate}")
    welfare = [
        limited_queue_welfare(
            longest,
            reward=reward,
            waiting_cost=waiting_cost,
            service_rate=service_rate,
            arrival_rate=arrival_rate,
        )
        for longest in range(limit + 1)
    ]
    best = max(range(limit + 1), key=lambda longest: welfare[longest])
    return JoiningQueue(
        selfish_limit=limit,
        social_limit=best,
        selfish_welfare=welfare[limit],
        social_welfare=welfare[best],
        toll_above=reward - (best + 1) * waiting_cost / service_rate,
        toll_at_most=reward - best * waiting_cost / service_rate,
    )


def limited_queue_welfare(
    longest: int, *, reward: float, waiting_cost: float, service_rate: float, arrival_rate: float
) -> float:
    """Return rewards less waiting, per unit of time, of M/M/1 with at most `longest` in it."""
    weight = [(arrival_rate / service_rate) ** n for n in range(longest + 1)]
    turned_away = weight[longest] / sum(weight)
    in_system = sum(n * w for n, w in enumerate(weight)) / sum(weight)
    return arrival_rate * (1.0 - turned_away) * reward - waiting_cost * in_system


def _utilisation(utilisation: float) -> float:
    if not 0.0 <= utilisation < 1.0:
        raise ValueError(f"utilisation must be at least 0 and below 1, got {utilisation}")
    return utilisation
