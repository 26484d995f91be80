"""The front door: the names that a notebook needs, each fetched from its home on first use.

`load` reads a scenario; `run`, `compare` and `sweep` run it under `regimes`, or under the rungs of
the `ladder`; `draw_world` and `ComputeMarket` open one run to look inside. All else is imported
from its folder, such as `from hanse.scenarios.studies.shocks import shock_effects`: the docstrings
of `hanse.scenarios`, `hanse.agents`, `hanse.market` and `hanse.verification` say where to begin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dataclasses import replace

    from hanse.agents.model import ComputeMarket
    from hanse.agents.world import World
    from hanse.market.regime import ladder, regimes
    from hanse.market.router import check_router
    from hanse.scenarios.draw import draw_world
    from hanse.scenarios.experiment import compare
    from hanse.scenarios.report import write_report
    from hanse.scenarios.run import run
    from hanse.scenarios.scenario import Scenario, load, names
    from hanse.scenarios.sweep import sweep

    __version__: str

__all__ = [
    "ComputeMarket",
    "Scenario",
    "World",
    "check_router",
    "compare",
    "draw_world",
    "ladder",
    "load",
    "names",
    "regimes",
    "replace",
    "run",
    "sweep",
    "write_report",
]

_HOME: Final = {
    "ComputeMarket": "hanse.agents.model",
    "Scenario": "hanse.scenarios.scenario",
    "World": "hanse.agents.world",
    "check_router": "hanse.market.router",
    "compare": "hanse.scenarios.experiment",
    "draw_world": "hanse.scenarios.draw",
    "ladder": "hanse.market.regime",
    "load": "hanse.scenarios.scenario",
    "names": "hanse.scenarios.scenario",
    "regimes": "hanse.market.regime",
    "replace": "dataclasses",
    "run": "hanse.scenarios.run",
    "sweep": "hanse.scenarios.sweep",
    "write_report": "hanse.scenarios.report",
}

# Hidden from type checkers: to them a module with `__getattr__` has every attribute, so that a
# misspelt name would pass. They read the imports above.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Fetch a public name from its home and keep it: PEP 562, paid once a name."""
        if name == "__version__":
            return import_module("importlib.metadata").version("hanse")
        if name not in _HOME:
            msg = f"module 'hanse' has no attribute {name!r}; it has {', '.join(__all__)}"
            raise AttributeError(msg)
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List what completion should offer: the public names, not the machinery."""
        return [*__all__, "__version__"]
