"""The one place that lays out what was read from a run in its tidy tables."""

from collections.abc import Mapping, Sequence

import numpy as np

from hanse.market.accounts.money import ACCOUNTS, KINDS, Postings
from hanse.market.accounts.occupancy import NONE, U
from hanse.market.engine.states import CAUSES, LABELS, N_WAITING_STATES, OPERATIONS, STATES, TOOL
from hanse.market.units import MICRO_USD_PER_USD, S_PER_HOUR, US_PER_S, Floats, Integers
from hanse.scenarios.measuring.debt_tables import debt_of_family, debt_path_table, debt_table
from hanse.scenarios.measuring.energy_tables import (
    EnergyRows,
    energy_measures,
    energy_of_all,
    energy_rows,
    energy_table,
)
from hanse.scenarios.measuring.failure_tables import (
    failure_measures,
    failure_table,
    shared_failure_measures,
)
from hanse.scenarios.measuring.latency import Latency, latency_measures, latency_table
from hanse.scenarios.measuring.measures import SHARED, Measured, Table, recovery_person_hours_of
from hanse.scenarios.measuring.structure_tables import structure_table
from hanse.scenarios.measuring.word_columns import listed


def tables_of(measured: Measured) -> dict[str, Table]:
    """Lay out all tables of a run but the receipts."""
    drawn = energy_rows(measured.energy)
    families = measured.world.workload.family
    cuts = [measured.latency.of_family(family) for family in range(len(families))]
    return {
        "measures": _measures(measured, drawn, cuts),
        "sync_cost": _sync_cost(measured),
        "occupancy": _occupancy(measured),
        "energy": energy_table(drawn, measured.families, measured.world.geography),
        "stage_time": _stage_time(measured),
        "latency": latency_table(cuts, families),
        "debt": debt_table(measured.debt, measured.families),
        "debt_path": debt_path_table(measured.ledger, measured.obligations),
        "postings": _postings(measured.postings),
        "prices": _prices(measured),
        "failed_tries": failure_table(measured.failures, measured.families),
        "structure": structure_table(measured),
    }


def _names(
    names: tuple[str, ...], index: Integers
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Look names up; an index of `NONE` gives an empty name."""
    return np.array((*names, ""), dtype=object)[index]


def _measures(measured: Measured, drawn: EnergyRows, cuts: Sequence[Latency]) -> Table:
    names: list[tuple[str, str, str]] = []
    values: list[float] = []
    energy = energy_measures(
        drawn,
        energy_usd=measured.welfare.energy_usd,
        carbon_g_per_kwh=measured.world.geography.carbon_g_per_kwh,
    )
    of_all = energy_of_all(drawn, measured.ledger, measured.world.terms)
    for family, name in enumerate(measured.families):
        rows: Rows
        if name == SHARED:
            rows = {**_shared(measured, family, energy[family]), **of_all}
        else:
            rows = _of_family(measured, family, energy=energy[family], latency=cuts[family])
        names += [(name, measure_name, unit) for measure_name, unit in rows]
        values += rows.values()
    words = zip(("family", "measure", "unit"), zip(*names, strict=True), strict=True)
    return {key: listed(column) for key, column in words} | {"value": np.array(values, float)}


Rows = Mapping[tuple[str, str], float]


def _of_family(measured: Measured, family: int, *, energy: Rows, latency: Latency) -> Rows:
    cost, welfare = measured.cost, measured.welfare
    n_jobs = max(1, int(measured.counts.jobs[family]))
    sync = float(cost.displaced_gpu_s[family].sum())
    displaced = float(cost.displacement_gpu_s[family].sum())
    chosen = (measured.occupancy.family == family) & (measured.occupancy.label == U)
    payload = float(measured.occupancy.unit_us[chosen].sum()) / US_PER_S
    open_payload = chosen & measured.occupancy.is_open
    return {
        ("sync_cost_gpu_s", "gpu_s"): sync,
        ("sync_cost_per_job_gpu_s", "gpu_s/job"): sync / n_jobs,
        ("displacement_gpu_s", "gpu_s"): displaced,
        ("payload_gpu_s", "gpu_s"): payload,
        ("payload_open_gpu_s", "gpu_s"): float(measured.occupancy.unit_us[open_payload].sum())
        / US_PER_S,
        ("coordination_efficiency", "share"): payload / (payload + sync) if payload else 0.0,
        ("welfare_usd", "USD"): float(welfare.welfare_usd[family]),
        ("value_usd", "USD"): float(welfare.value_usd[family]),
        ("value_open_usd", "USD"): float(measured.counts.open_value_usd[family]),
        ("resource_cost_usd", "USD"): float(welfare.resource_usd[family]),
        ("capital_usd", "USD"): float(welfare.capital_usd[family]),
        ("control_core_s", "core_s"): float(welfare.control_core_s[family]),
        ("joules", "J"): float(welfare.joules[family]),
        **energy,
        **_jobs(measured, family),
        **failure_measures(measured.failures, family),
        **latency_measures(latency),
        **debt_of_family(measured.debt, family),
    }


def _jobs(measured: Measured, family: int) -> Rows:
    counts = measured.counts
    n_jobs = int(counts.jobs[family])
    waited_us = int(counts.state_us[family, TOOL + 1 : N_WAITING_STATES].sum())
    occupied_h = float(counts.occupied_us[family]) / US_PER_S / S_PER_HOUR
    paid_usd = float(counts.paid_micro_usd[family]) / MICRO_USD_PER_USD
    open_jobs = counts.jobs[family] - counts.done[family] - counts.lapsed[family]
    return {
        ("jobs", "jobs"): n_jobs,
        ("jobs_done", "jobs"): float(counts.done[family]),
        ("jobs_expired", "jobs"): float(counts.lapsed[family]),
        ("jobs_open", "jobs"): float(open_jobs),
        ("waiting_s", "s/job"): waited_us / US_PER_S / max(1, n_jobs),
        ("price_usd_per_gpu_hour", "USD/gpu_h"): paid_usd / occupied_h
        if occupied_h
        else float("nan"),
        ("wrong_accepted_share", "share"): float(counts.wrong[family])
        / max(1, int(counts.executions_ended[family])),
        ("bounces", "bounces"): float(counts.bounces[family]),
        ("redos", "redos"): float(counts.redos[family]),
        ("capability_uses", "uses"): float(counts.capability_uses[family]),
        ("invalid_uses", "uses"): float(counts.invalid_uses[family]),
        ("person_hours", "h"): float(measured.welfare.person_hours[family]),
    }


def _shared(measured: Measured, family: int, energy: Rows) -> Rows:
    ledger, welfare = measured.ledger, measured.welfare
    return {
        ("displacement_se_gpu_s", "gpu_s"): measured.cost.displacement_se_gpu_s,
        ("welfare_usd", "USD"): float(welfare.welfare_usd[family]),
        ("resource_cost_usd", "USD"): float(welfare.resource_usd[family]),
        ("control_core_s", "core_s"): float(welfare.control_core_s[family]),
        ("joules", "J"): float(welfare.joules[family]),
        **energy,
        ("decisions", "decisions"): float(ledger.plane["n_decisions"].sum()),
        ("messages", "messages"): float(ledger.plane["n_messages"].sum()),
        ("edges", "edges"): float(ledger.plane["n_edges"].sum()),
        ("clearings_certified", "clearings"): float(ledger.n_certified),
        ("audits", "audits"): float(ledger.n_audits),
        **shared_failure_measures(measured.failures),
        ("recovery_person_hours", "person_h"): recovery_person_hours_of(
            measured.world, measured.ledger
        ),
        ("events", "events"): float(ledger.n_events),
    }


def _sync_cost(measured: Measured) -> Table:
    cost = measured.cost
    index = np.nonzero((cost.labelled_gpu_s > 0) | (cost.displaced_gpu_s > 0))
    family, operation, cause, region = index
    return {
        "family": _names(measured.families, family),
        "operation": _names(OPERATIONS, operation),
        "cause": _names(CAUSES, cause),
        "region": _names(measured.world.geography.region, region),
        "gpu_s": cost.labelled_gpu_s[index],
        "displaced_gpu_s": cost.displaced_gpu_s[index],
    }


def _occupancy(measured: Measured) -> Table:
    occupancy, sink = measured.occupancy, measured.ledger.sink
    assert NONE == -1, "names are looked up from the end"
    return {
        "family": _names(
            measured.families, np.minimum(occupancy.family, len(measured.families) - 1)
        ),
        "region": _names(measured.world.geography.region, sink["region"][occupancy.sink]),
        "accelerator_class": _names(
            measured.world.fleet.accelerator_class, sink["accelerator"][occupancy.sink]
        ),
        "label": _names(LABELS, occupancy.label),
        "operation": _names(OPERATIONS, occupancy.operation),
        "cause": _names(CAUSES, occupancy.cause),
        "is_open": occupancy.is_open,
        "gpu_us": occupancy.unit_us,
    }


def _stage_time(measured: Measured) -> Table:
    of_family, state = np.nonzero(measured.counts.state_us)
    return {
        "family": _names(measured.families, of_family),
        "state": _names(STATES, state),
        "us": measured.counts.state_us[of_family, state],
    }


def _postings(postings: Postings) -> Table:
    size = len(ACCOUNTS)
    key = (postings.kind * size + postings.debit) * size + postings.credit
    unique, group, count = np.unique(key, return_inverse=True, return_counts=True)
    amount = np.zeros(len(unique), np.int64)
    np.add.at(amount, group, postings.amount_micro_usd)
    return {
        "kind": _names(KINDS, unique // size // size),
        "debit": _names(ACCOUNTS, unique // size % size),
        "credit": _names(ACCOUNTS, unique % size),
        "count": count,
        "amount_micro_usd": amount,
    }


def _prices(measured: Measured) -> Table:
    ledger, world = measured.ledger, measured.world
    record = ledger.record
    work = ledger.work
    of_unit = ledger.sink["place"][ledger.unit["sink"]]
    place, n_places = of_unit[record["unit"][work]], int(ledger.sink["place"][-1]) + 1
    paid = np.bincount(place, record["payment_micro_usd"][work], n_places) / MICRO_USD_PER_USD
    occupied_us = record["end_us"][work] - record["accepted_us"][work]
    hours = np.bincount(place, occupied_us, n_places) / US_PER_S / S_PER_HOUR
    units = np.bincount(of_unit, minlength=n_places)
    used = hours > 0
    sink = ledger.sink[np.unique(ledger.sink["place"], return_index=True)[1]]
    price: Floats = paid[used] / hours[used]
    return {
        "region": _names(world.geography.region, sink["region"][used]),
        "accelerator_class": _names(world.fleet.accelerator_class, sink["accelerator"][used]),
        "mean_usd_per_gpu_hour": price,
        "units": units[used],
    }
