"""The one place for selfish routing over two parallel links, and the toll that mends it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PigouRouting:
    """Shares of traffic on the congestible link, mean latencies, their ratio, and the toll.

    Latency, and the toll with it, is in units of the other link's.
    """

    selfish_share: float
    optimal_share: float
    selfish_latency: float
    optimal_latency: float
    price_of_anarchy: float
    toll: float


def pigou_routing(degree: float) -> PigouRouting:
    """Route one unit of traffic over a link of latency x**degree and one of constant latency 1.

    Pigou's example (The Economics of Welfare, 1920; Roughgarden and Tardos, Journal of the ACM
    49(2), 2002, doi:10.1145/506147.506153). Left to themselves all take the congestible link. At
    the optimum its marginal cost, (degree + 1) x**degree, is 1. The toll is what the marginal user
    there costs the others, degree x**degree = degree / (degree + 1): it restores the optimum.

    Raises `ValueError` if the degree is not positive.

    Examples
    --------
    >>> linear = pigou_routing(1)
    >>> linear.optimal_latency, linear.toll
    (0.75, 0.5)
    """
    if not degree > 0:
        raise ValueError(f"degree must be above 0, got {degree}")
    share = (degree + 1) ** (-1 / degree)
    optimal, selfish = mean_latency(share, degree), mean_latency(selfish_share(degree), degree)
    return PigouRouting(
        selfish_share=selfish_share(degree),
        optimal_share=share,
        selfish_latency=selfish,
        optimal_latency=optimal,
        price_of_anarchy=selfish / optimal,
        toll=degree / (degree + 1),
    )


def selfish_share(degree: float, toll: float = 0.0) -> float:
    """Return the share at which the congestible link and its toll cost what the other link does.

    Nobody then gains by changing links (Wardrop 1952): x**degree + toll = 1, or nobody pays it.
    """
    return float(max(0.0, min(1.0, 1.0 - toll)) ** (1 / degree))


def mean_latency(share: float, degree: float) -> float:
    """Return the mean latency of all traffic when this share takes the congestible link."""
    return float(share * share**degree + (1.0 - share))
