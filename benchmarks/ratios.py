"""How a benchmark says how much slower one way is than another, with the spread of what it saw."""

import numpy as np

from hanse.market.units import Floats


def print_ratio(what: str, slow_us: Floats, quick_us: Floats) -> None:
    """Print the ratio of two times per job, taken turn by turn: of medians, and round by round."""
    each = slow_us / quick_us
    print(
        f"  {what}: {np.median(slow_us) / np.median(quick_us):.1f} times, "
        f"from {each.min():.1f} to {each.max():.1f} over {len(each)} rounds "
        f"({np.median(slow_us):.2f} against {np.median(quick_us):.3f} us per job)"
    )
