"""The one place that measures this machine, and writes what a scenario can use of it."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hanse.market.units import Floats
from hanse.scenarios.parameters import parameter
from hanse.scenarios.service_times import ServiceTimes, measure_service_times

_HEAD = """\
title = "Calibrated on {machine}"
question = "What does the baseline come to with the service times of this machine?"
extends = "baseline"
# CPU times of one thread, measured on {day} by hanse {version}, numpy {numpy}, PyNaCl {pynacl}.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What one machine takes for control and verification, in microseconds.

    Attributes
    ----------
    quartiles_us : first quartile, median and third quartile by the key of a parameter.
    misfit : by how much the law of decisions is off, as a factor >= 1, by book timed.
    machine : name of the processor.
    """

    quartiles_us: Mapping[str, tuple[float, float, float]]
    misfit: Floats
    machine: str

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Tabulate parameter, the value that ships, the median here, and the spread here."""
        rows = [("parameter", "ships", "here", "quartiles here")]
        for key, (low, median, high) in self.quartiles_us.items():
            ships = parameter(key).default
            rows.append((key, f"{ships:g}", f"{median:.3g}", f"{low:.3g} to {high:.3g}"))
        return rows

    def fit_text(self) -> str:
        """Say how well one law tells what decisions take."""
        middle, worst = np.median(self.misfit), self.misfit.max()
        return (
            "A decision takes a time by rule, and more for each edge and each request it serves.\n"
            f"On {len(self.misfit)} books timed here, that law is off by a factor of {middle:.1f} "
            f"in the middle and {worst:.1f} at worst."
        )

    def to_toml(self) -> str:
        """Return a scenario: the baseline with the medians of this machine."""
        lines = [
            _HEAD.format(
                machine=self.machine,
                version=version("hanse"),
                day=datetime.now(UTC).date().isoformat(),
                numpy=np.__version__,
                pynacl=version("pynacl"),
            )
        ]
        section = ""
        for key, (low, median, high) in sorted(self.quartiles_us.items()):
            of, _, name = key.partition(".")
            if of != section:
                lines.append(f"\n[{of}]\n")
                section = of
            lines.append(
                f"{name} = {float(f'{median:.3g}')}  # quartiles {low:.3g} to {high:.3g}\n"
            )
        return "".join(lines)


def calibrate(measured: ServiceTimes | None = None) -> Calibration:
    """Measure this machine, which takes a minute, or sum up what was measured already."""
    measured = measured or measure_service_times()
    return Calibration(
        quartiles_us={
            key: tuple(np.percentile(us, [25, 50, 75]).tolist()) for key, us in measured.us.items()
        },
        misfit=measured.misfit,
        machine=cpu_model(),
    )


def cpu_model() -> str:
    """Name the processor as the operating system does."""
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].replace("(R)", "").split())
    return platform.processor() or platform.machine()
