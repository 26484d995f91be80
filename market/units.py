"""The one place for unit conversions; every other module multiplies by a name from here."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

US_PER_MS: Final = 1_000
US_PER_S: Final = 1_000_000
S_PER_HOUR: Final = 3_600
US_PER_HOUR: Final = US_PER_S * S_PER_HOUR
MICRO_USD_PER_USD: Final = 1_000_000
NANO_USD_PER_USD: Final = 1_000_000_000
BYTES_PER_GB: Final = 1_000_000_000
J_PER_KWH: Final = 3_600_000
S_PER_YEAR: Final = 31_536_000
