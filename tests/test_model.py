"""ComputeMarket as a Mesa model: steps, collected data, closing, and what is left in memory."""

import gc
import weakref
from dataclasses import replace

import mesa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.agents.model import ComputeMarket, release
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import COMPLETE
from hanse.market.regime import Regime, ladder
from hanse.scenarios.selftest.checks import ON_ARRIVAL, run_ledger
from hanse.scenarios.selftest.oracle_worlds import plain_workload, plain_world
from tests.strategies import SmallWorld, small_worlds

rungs = st.sampled_from([rung.regime for rung in ladder])
LEDGER = ("record", "stage", "time_us", "plane", "payment", "waiting", "available", "hidden")


def two_jobs(**columns: object) -> ComputeMarket:
    """Run jobs of 30 s on one node, arriving at 10 s and at 20 s; the horizon is at 100 s."""
    arrival_us, work_us = np.array([10_000_000, 20_000_000]), np.full(2, 30_000_000)
    world = plain_world(
        plain_workload(arrival_us, work_us), n_nodes=1, horizon_us=100_000_000, rtt_ms=0.002
    )
    return ComputeMarket(world, ON_ARRIVAL, **columns)  # type: ignore[arg-type]


def bytes_of(ledger: Ledger) -> list[bytes]:
    return [getattr(ledger, name).tobytes() for name in LEDGER]


@given(small=small_worlds(), regime=rungs, epoch_s=st.floats(0.3, 200.0))
def test_stepping_reaches_the_same_end_as_running(
    small: SmallWorld, regime: Regime, epoch_s: float
) -> None:
    world = small.build()
    model = ComputeMarket(world, regime, epoch_s=epoch_s, n_payments=100)
    while model.now_us < world.horizon_us:
        model.step()
    stepped = model.ledger()
    release(model)
    assert bytes_of(stepped) == bytes_of(run_ledger(world, regime, n_payments=100))


def test_data_are_collected_once_a_step() -> None:
    model = two_jobs(epoch_s=15.0)
    for _ in range(4):
        model.step()
    frame = model.datacollector.get_model_vars_dataframe()
    # The first job runs from 10 to 40 s; the second waits from 20 s on and then runs to 70 s.
    assert frame["now_s"].tolist() == [15.0, 30.0, 45.0, 60.0]
    assert frame["busy_share"].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert frame["n_pending"].tolist() == [0, 1, 0, 0]
    assert frame["n_complete"].tolist() == [0, 0, 1, 1]
    release(model)


@given(small=small_worlds(), n_steps=st.integers(0, 12))
def test_a_frame_has_a_row_for_each_step(small: SmallWorld, n_steps: int) -> None:
    model = ComputeMarket(small.build(), ladder[-1].regime, epoch_s=7.0)
    for _ in range(n_steps):
        model.step()
    frame = model.datacollector.get_model_vars_dataframe()
    assert len(frame) == n_steps == model.steps
    assert frame["now_s"].tolist() == [7.0 * (step + 1) for step in range(n_steps)]
    release(model)


def test_a_model_reports_what_its_columns_say() -> None:
    model = two_jobs(epoch_s=50.0)
    model.step()
    assert model.now_s == 50.0
    assert model.busy_share == model.state.unit["is_busy"].mean() == 1.0
    assert model.n_complete == (model.state.stage["status"] == COMPLETE).sum() == 1
    release(model)


def test_steps_beyond_the_horizon_change_nothing() -> None:
    model = two_jobs(epoch_s=60.0)
    for _ in range(2):
        model.step()
    assert model.now_us == model.world.horizon_us
    before = bytes_of(model.ledger())
    model.step()
    assert model.now_us == model.world.horizon_us
    assert bytes_of(model.ledger()) == before
    release(model)


def test_a_ledger_closes_at_the_horizon_and_not_before() -> None:
    model = two_jobs(epoch_s=60.0)
    model.step()
    with pytest.raises(ValueError, match="closes at 100000000 us, got now_us=60000000"):
        model.ledger()
    model.step()
    assert model.ledger().time_us.sum() == (100 - 10 + 100 - 20) * 1_000_000
    assert model.ledger().time_us.sum() == (100 - 10 + 100 - 20) * 1_000_000
    release(model)


@pytest.mark.parametrize("epoch_s", [0.0, -1.0])
def test_an_epoch_takes_time(epoch_s: float) -> None:
    with pytest.raises(ValueError, match=f"epoch_s must be above 0, got {epoch_s}"):
        two_jobs(epoch_s=epoch_s)


@given(small=small_worlds(), regime=rungs)
def test_agents_change_no_result(small: SmallWorld, regime: Regime) -> None:
    world = small.build()
    model = ComputeMarket(world, regime, n_payments=100)
    model.agents.shuffle(inplace=True)
    with_agents = model.run_to_horizon()
    release(model)
    assert bytes_of(with_agents) == bytes_of(run_ledger(world, regime, n_payments=100))


@pytest.mark.parametrize("with_agents", [True, False])
def test_a_released_model_is_freed(with_agents: bool) -> None:
    model = two_jobs(with_agents=with_agents)
    model.step()
    seen = weakref.ref(model)
    release(model)
    del model
    gc.collect()
    assert seen() is None


def test_mesa_3_3_keeps_a_model_that_is_not_released() -> None:
    if not hasattr(mesa.Agent, "_ids"):
        pytest.skip("this Mesa does not count agents in a class attribute")
    model = two_jobs(with_agents=True)
    seen = weakref.ref(model)
    del model
    gc.collect()
    kept = seen()
    assert kept is not None
    release(kept)
    del kept
    gc.collect()
    assert seen() is None


def test_releasing_twice_or_without_agents_is_harmless() -> None:
    model = two_jobs(with_agents=False)
    release(model)
    release(model)
    assert not hasattr(model, "state")


def test_a_released_model_lets_go_of_its_columns_at_once() -> None:
    model = two_jobs(with_agents=True)
    columns = weakref.ref(model.state.time_us)
    gc.disable()
    try:
        release(model)
        assert columns() is None
    finally:
        gc.enable()


def test_a_ledger_outlives_its_model() -> None:
    model = two_jobs(with_agents=False)
    ledger = model.run_to_horizon()
    release(model)
    del model
    gc.collect()
    assert ledger.job_done_us.tolist() == [40_000_001, 70_000_001]


def test_the_same_world_twice_gives_two_models_that_share_no_state() -> None:
    first, second = two_jobs(), two_jobs()
    first.run_to_horizon()
    assert second.n_complete == 0
    assert not np.shares_memory(first.state.stage, second.state.stage)
    release(first)
    release(second)


def test_a_model_keeps_the_world_and_the_regime_it_was_given() -> None:
    model = two_jobs()
    assert model.regime is ON_ARRIVAL
    assert model.world.digest() == replace(model.world).digest()
    release(model)
