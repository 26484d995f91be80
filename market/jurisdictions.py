"""Law: which data may be served where."""

from dataclasses import dataclass
from typing import Final

from hanse.market.units import Flags

UNRESTRICTED: Final = 0
RESIDENT: Final = 1
DATA_CLASSES: Final = ("unrestricted", "resident")


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What each data class of an origin may cross.

    Attributes
    ----------
    may_serve : shape (2, n_regions, n_regions); `may_serve[c, o, g]` says whether data of class
        `c` (`UNRESTRICTED`, `RESIDENT`) from origin region `o` may be processed in region `g`.
        The diagonal is always true. Where law asks whose headquarters a job is, two more classes
        follow, of buyers who may rent in fewer places, perhaps not even where the data come from.
    """

    may_serve: Flags
