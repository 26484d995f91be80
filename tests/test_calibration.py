"""What `hanse calibrate` measures and writes."""

from pathlib import Path

import numpy as np
import pytest

from hanse.scenarios import cli
from hanse.scenarios.calibration import Calibration, calibrate
from hanse.scenarios.parameters import parameter
from hanse.scenarios.scenario import load
from hanse.scenarios.service_times import ServiceTimes, measure_service_times

GIVEN = ServiceTimes(
    us={
        "control.service_edge_us": np.array([0.01, 0.02, 0.03, 0.04, 0.05]),
        "verification.receipt_sign_us": np.array([10.0, 20.0, 31.4159, 40.0, 50.0]),
        "verification.settlement_us": np.array([1.0, 1.0, 2.0, 2.0, 2.0]),
    },
    misfit=np.array([1.1, 1.7, 1.2]),
)


@pytest.fixture(scope="module")
def measured() -> ServiceTimes:
    """Measure on a small design, twice."""
    return measure_service_times(repetitions=2, tries=1, nodes=(26,))


def test_the_medians_become_a_scenario_that_loads(tmp_path: Path) -> None:
    file = tmp_path / "here.toml"
    file.write_text(calibrate(GIVEN).to_toml(), encoding="utf-8")
    scenario, baseline = load(file), load("baseline")
    differing = {
        key: scenario.values[key]
        for key in baseline.values
        if scenario.values[key] != baseline.values[key]
    }
    assert differing == {
        "control.service_edge_us": 0.03,
        "verification.receipt_sign_us": 31.4,
        "verification.settlement_us": 2.0,
    }


def test_a_calibration_says_what_ships_and_how_far_off_the_law_is() -> None:
    calibration = calibrate(GIVEN)
    assert calibration.quartiles_us["verification.receipt_sign_us"] == (20.0, 31.4159, 40.0)
    assert calibration.misfit.tolist() == [1.1, 1.7, 1.2]
    assert "3 books" in calibration.fit_text()
    assert calibration.fit_text().endswith("of 1.2 in the middle and 1.7 at worst.")
    ships = parameter("verification.receipt_sign_us").default
    assert ("verification.receipt_sign_us", f"{ships:g}", "31.4", "20 to 40") in calibration.rows()


def test_everything_that_names_this_measurement_as_its_source_is_measured(
    measured: ServiceTimes,
) -> None:
    named = {
        key
        for key in load("baseline").values
        if parameter(key).source.startswith("hanse calibrate")
    }
    assert named == set(measured.us)
    for key, us in measured.us.items():
        assert us.shape == (2,), key
        assert (us >= 0).all(), key
    # A signature takes microseconds, on any machine that runs this; a check more than signing.
    assert (measured.us["verification.receipt_sign_us"] > 1.0).all()
    assert (measured.misfit >= 1.0).all()


def test_the_command_writes_the_file_and_never_over_another(
    tmp_path: Path,
    measured: ServiceTimes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def measure_less() -> Calibration:
        return calibrate(measured)

    monkeypatch.setattr("hanse.scenarios.calibration.calibrate", measure_less)
    file = tmp_path / "here.toml"
    assert cli.main(["calibrate", "-o", str(file)]) == 0
    assert "verification.receipt_verify_us" in capsys.readouterr().out
    assert load(file).number("verification.receipt_verify_us") > 0
    written = file.read_bytes()
    assert cli.main(["calibrate", "-o", str(file)]) == cli.BAD_INPUT
    assert "--force replaces it" in capsys.readouterr().err
    assert file.read_bytes() == written
