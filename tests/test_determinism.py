"""That a seed fixes every byte: in any process, in any order, however often Mesa looks."""

import os
import subprocess
import sys
from dataclasses import fields
from hashlib import blake2b

import numpy as np
import pytest

from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import COMPLETE
from hanse.market.regime import ladder
from hanse.scenarios.draw import draw_world
from hanse.scenarios.measuring.measures import Table, measure
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from tests.project_files import PROJECT
from tests.strategies import with_audits, with_luck, world_of

SIZE = {
    "fleet.nodes": 40,
    "load.model_calls": 150,
    "load.batch_jobs": 20,
    "measurement.horizon_s": 900,
    "measurement.displacement_instants": 64,
    "verification.audit_probability": 0.3,
    "verification.temptation_share": 0.3,
    "verification.saved_share": 1.0,
    "verification.stake_multiple": 0.1,
}
REGIMES = {rung.name: rung.regime for rung in (ladder[0], ladder[3], ladder[-1])}


def small_baseline(seed: int = 3) -> World:
    """Draw a small world with the frictions of the baseline, in which cheating pays."""
    return draw_world(load("baseline").replace(SIZE), seed)


def digest_of(tables: dict[str, Table]) -> str:
    """Digest the tables of a run: names, types and bytes of every column, in order of name."""
    state = blake2b(digest_size=16)
    for name in sorted(tables):
        for column in sorted(tables[name]):
            values = tables[name][column]
            state.update(f"{name}.{column}:{values.dtype.str}{values.shape}".encode())
            is_text = values.dtype == object
            state.update("\0".join(values.tolist()).encode() if is_text else values.tobytes())
    return state.hexdigest()


def digest_of_ledger(ledger: Ledger) -> dict[str, str]:
    """Digest each column of a ledger; structured columns lie in memory without gaps."""
    digests = {}
    for field in fields(ledger):
        value = getattr(ledger, field.name)
        parts = value if isinstance(value, tuple) else (value,)
        raw = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        digests[field.name] = blake2b(raw, digest_size=16).hexdigest()
    return digests


def digests() -> list[str]:
    """Digest the world of the small baseline, and all tables of each of the regimes on it."""
    world = small_baseline()
    return [world.digest(), *(digest_of(run_world(world, r).tables) for r in REGIMES.values())]


def toy_world() -> World:
    """Build a world that the engine runs uncompiled in a moment, with cheats and a catch."""
    world = world_of(
        arrival_s=[0.0, 1.0, 2.0, 2.5, 3.0],
        work_s=[4.0, 10.0, 3.0, 5.0, 6.0, 2.5],
        stage_job=[0, 0, 1, 2, 3, 4],
        origin=[0, 1, 0, 1, 0],
        units=[0, 0, 1],
        n_regions=2,
        one_way_s=0.3,
        control_delay_scale=1.0,
        clearing_interval_us=2_000_000,
        refresh_interval_us=500_000,
        service_posted_us=10_000.5,
        service_welfare_us=20_000.5,
        service_message_us=333.3,
        service_edge_us=2.7,
        receipt_verify_us=150.4,
        settlement_us=99.6,
        active_w=700.0,
        core_w=10.0,
        capital_rate_per_year=0.1,
    )
    return with_luck(
        with_audits(world), temptation=[[0.0, 1.0, 1.0, 0.0, 1.0, 1.0]], audit=[[0.0] * 6]
    )


def toy_digests() -> list[str]:
    """Digest all tables of the toy world under each of the regimes."""
    world = toy_world()
    tables = []
    for regime in REGIMES.values():
        model = ComputeMarket(world, regime, with_agents=False)
        tables.append(tables_of(measure(world, model.run_to_horizon())))
    return [digest_of(table) for table in tables]


def elsewhere(function: str, **environment: str) -> list[str]:
    """Call a function of this module in another process and return the words it prints."""
    program = f"from tests.test_determinism import {function}; print(*{function}())"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    return run.stdout.split()


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_another_process_gives_the_same_bytes(hash_seed: str) -> None:
    assert elsewhere("digests", PYTHONHASHSEED=hash_seed) == digests()


def test_the_uncompiled_engine_gives_the_same_bytes() -> None:
    assert elsewhere("toy_digests", NUMBA_DISABLE_JIT="1") == toy_digests()


def test_the_toy_world_has_something_to_get_wrong() -> None:
    model = ComputeMarket(toy_world(), REGIMES["audited-market"], with_agents=False)
    ledger = model.run_to_horizon()
    assert (ledger.n_catches, ledger.n_redos) == (1, 1)
    assert ledger.n_audits >= 4
    assert (ledger.stage["status"] == COMPLETE).all()


@pytest.mark.parametrize("name", REGIMES)
def test_a_seed_gives_the_same_bytes_again_and_another_seed_others(name: str) -> None:
    first = digest_of(run_world(small_baseline(3), REGIMES[name]).tables)
    assert digest_of(run_world(small_baseline(3), REGIMES[name]).tables) == first
    assert digest_of(run_world(small_baseline(4), REGIMES[name]).tables) != first


def test_the_order_in_which_regimes_run_changes_nothing() -> None:
    world = small_baseline()
    forwards = {n: digest_of(run_world(world, r).tables) for n, r in REGIMES.items()}
    backwards = {n: digest_of(run_world(world, r).tables) for n, r in reversed(REGIMES.items())}
    assert forwards == backwards


@pytest.mark.parametrize("with_agents", [False, True], ids=["without agents", "with agents"])
@pytest.mark.parametrize("epoch_s", [0.731, 7.0, 60.0, 1e6])
@pytest.mark.parametrize("name", REGIMES)
def test_how_often_mesa_looks_changes_nothing(name: str, epoch_s: float, with_agents: bool) -> None:
    world, regime = small_baseline(), REGIMES[name]
    at_once = ComputeMarket(world, regime, with_agents=False).run_to_horizon()
    model = ComputeMarket(world, regime, epoch_s=epoch_s, with_agents=with_agents)
    while model.now_us < world.horizon_us:
        model.step()
    assert digest_of_ledger(model.ledger()) == digest_of_ledger(at_once)
    release(model)


def test_registered_agents_change_no_table() -> None:
    world, regime = small_baseline(), REGIMES["audited-market"]
    alone = run_world(world, regime).tables
    watched = run_world(world, regime, with_agents=True).tables
    assert digest_of(watched) == digest_of(alone)
