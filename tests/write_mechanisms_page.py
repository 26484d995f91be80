"""Write the numbers of the page of scenarios and mechanisms: run each small experiment anew.

Run it with `python -m tests.write_mechanisms_page`; `--figures DIR` keeps the pictures, too, and
`--only NAME` leaves the other sections alone. It takes some minutes. The words of the page are its
own, and stay.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Final

import pandas as pd

from hanse.scenarios.mechanisms.figures import MECHANISMS, write_mechanism
from hanse.scenarios.numerals import level
from hanse.scenarios.run import warm_up
from hanse.scenarios.scenario import load
from tests.project_files import PROJECT

PAGE: Final = PROJECT / "docs" / "reference" / "mechanisms-of-scenarios.md"
UNITS: Final = {
    "sync_cost_per_job_gpu_s": "synchronization cost, GPU-s per job",
    "coordination_efficiency": "coordination efficiency",
    "coordination_share_with_tools": "coordination's share of latency, tools with it",
    "coordination_share": "coordination's share of latency",
    "coordination, tools with it": "coordination's share of latency, tools with it",
    "coordination": "coordination's share of latency",
    "latency_s": "latency of finished jobs, s",
    "payload_gpu_s": "payload, GPU-s per run",
    "failed_share": "share of jobs given up",
    "work_amplification": "tries over stages asked for",
    "success": "share done and right, of those not open",
    "goodput": "share served in time",
    "invalid_uses": "uses of revoked capabilities per run",
    "state_ms": "ms a stage",
    "share": "share of accelerator time",
    "idle_held_gpu_h": "idle while held, GPU-h a season",
    "unserved_share": "share of work not served",
    "owner_hhi": "owners' HHI, 0 to 1",
    "command_hhi": "HHI of who holds or owns a unit, 0 to 1",
    "independent_share": "independents' share of units",
    "hyperscaler_customers_usd": "customers pay hyperscalers, USD a season",
    "own_hours": "own work on own units, GPU-h a season",
    "loss_share": "share of value lost without it",
    "sovereignty": "routing sovereignty",
    "power": "Banzhaf share of power",
    "captured_share": "share of votes captured",
    "rent_usd": "capture rent, USD a run",
    "transfer_usd": "transfer to insiders, USD a run",
    "maker_spread_usd": "a maker's spread, USD per GPU-hour",
    "regional_dispersion_cv": "prices' variation over regions",
    "time_to_match_s": "time to match, s",
    "volatility_usd": "moves of the index, USD per GPU-hour",
    "resold_units": "units sold on a season",
    "units": "units",
    "sold_share": "share of all hours that is sold",
    "paid_usd_per_gpu_hour": "paid, USD per GPU-hour",
    "subsidy_usd": "worth of tokens handed out, USD a season",
    "revenue_usd": "revenue, USD a season",
    "welfare_usd": "welfare, USD a run",
    "paid_usd": "paid, USD a run",
    "buyers_usd": "left to buyers, USD a run",
    "owners_usd": "left to owners, USD a run",
    "forward model_call": "ln of the variance of spend on calls, forward over none",
    "call model_call": "ln of the variance of spend on calls, option over none",
    "n_defaults": "members that default in the surge",
}


ROWS: Final[dict[str, str]] = {
    "inference": "`load.inference_jobs` in (1530, 12240, 24480)",
    "agentic": "component == ''",
    "multimodal": "regime == 'market' and `load.multimodal_modalities` in (1, 5)",
    "synchronous": "regime == 'market' and `load.training_exchange_gb` in (0.1, 4)",
    "diloco": "regime == 'dynamic-central' and "
    "`load.training_steps_per_round` in (1, 10, 50, 200) and "
    "measure in ('sync_cost_per_job_gpu_s', 'latency_s')",
    "hybrid": "regime == 'market' and "
    "`load.hybrid_quantum_s` in (4e-6, 0.1, 10.0) and "
    "not measure.str.contains(' less ')",
    "pipeline": "rung in ('Central', 'Dynamic central', 'Market', 'Audited market') and "
    "measure in ('latency_s', 'sync_cost_per_job_gpu_s', 'sync_cost_per_job_gpu_s less Central')",
    "continents": "asked_from == run_in",
    "demonstration": "scenario == 'demonstration' and regime == 'market'",
    "production": "scenario == 'production' and regime == 'market'",
    "stateless": "scenario == scenario",
    "retries": "time_s in (2500, 19500)",
    "failing": "`failure.call_error_share` in (0.035, 0.1) and "
    "`failure.retry_limit` in (0, 2) and "
    "measure != 'work_amplification less 0.0' and "
    "measure != 'work_amplification less 0.0' and "
    "(measure == 'work_amplification' or measure.str.contains(' less '))",
    "capped": "regime == 'market' and "
    "`resources.power_cap_share` in (0.25, 0.4, 1.0) and "
    "not measure.str.contains(' less ')",
    "held": "`crossing.approval_s` in (0, 30, 60) and "
    "(units == 'released' or measure.str.contains(' less '))",
    "capabilities": "`crossing.revocation_lag_s` in (0, 120, 3600) and "
    "measure != 'capability_uses'",
    "joint": "`crossing.rule_dimensions` in (4, 8, 12) and "
    "(measure == 'state_ms' or (measure == 'sync_cost_per_job_gpu_s less additive' and "
    "`crossing.rule_dimensions` == 12))",
    "hoarding": "`institutions.uncertainty_scale` in (0.0, 1.0, 2.0) and "
    "way in ('reserved, each for itself', 'reserved, one pool', 'reserved, resale') and "
    "measure != 'unserved_share less 0.0' and "
    "(measure != 'idle_held_gpu_h' or `institutions.uncertainty_scale` == 0.0)",
    "concentration": "season == 7 and measure != 'independent_share less nobody hoards' and "
    "(regime == 'reserved' or way == 'nobody hoards')",
    "hood": "`institutions.own_growth_share` in (0.0, 1.0) and measure != 'unserved_share'",
    "reselling": "measure != 'unserved_share' and "
    "(measure.str.contains(' less ') == False or measure != 'resold_units less 0.0')",
    "emission": "(measure.str.contains(' less ') == False or measure == 'units less 0.0') and "
    "measure not in ('independent_share', 'revenue_usd', 'subsidy_usd')",
    "bending": "measure == 'buyers_usd less 0.0' or "
    "(measure == 'welfare_usd less 0.0' and `reporting.strategic_share` in (0.5, 1.0)) or "
    "(measure == 'paid_usd less 0.0' and `reporting.strategic_share` == 1.0) or "
    "(`reporting.strategic_share` == 0.0 and said == 'say half' and measure != 'failed_share')",
    "asking": "(measure in ('owners_usd less 1.0', 'welfare_usd less 1.0') and "
    "(who == 'all owners ask more' or asked in (1.5, 5.0))) or "
    "(measure == 'buyers_usd less 1.0' and asked == 5.0) or "
    "(measure == 'failed_share less 1.0' and asked in (1.5, 5.0) and way == 'lists are paid') or "
    "(asked == 1.0 and who == 'all owners ask more' and measure != 'paid_usd')",
    "sovereignty": "measure == 'sovereignty' or "
    "who in ('vendor NVIDIA', 'worst of sites of control', 'owner google')",
    "capture": "constitution != 'no safeguards, all vote' and measure != 'power' and "
    "(initial_share == 0.4 or (initial_share == 0.0 and measure != 'captured_share'))",
    "financialization": "rung in ('Central', 'A venue per region', 'Market', 'Audited market') and "
    "measure in ('maker_spread_usd', 'regional_dispersion_cv', 'time_to_match_s', "
    "'volatility_usd', 'forward model_call', 'n_defaults')",
}
"""Which levels the page tells of each scenario, as a query of their table."""


def with_numbers(page: str, name: str, folder: Path) -> str:
    """Run the experiment of one scenario and put its numbers in the table of its section."""
    mechanism = MECHANISMS[name]
    seeds = range(mechanism.n_seeds)
    evidence = write_mechanism(load(name), seeds, folder / f"{name}.png")
    rows = table_rows(mechanism.levels(evidence).query(ROWS[name]))
    before, heading, rest = page.partition(f"## `{name}`\n")
    opening, _, below = rest.partition("\n| where |")
    _, _, after = below.partition("\n\n")
    table = "\n".join([f"| where | what | mean of {len(seeds)} worlds |", "|---|---|---|", *rows])
    return f"{before}{heading}{opening}\n{table}\n\n{after}"


def table_rows(levels: pd.DataFrame) -> list[str]:
    """Write each level as a row of a table in Markdown."""
    keys = [
        key
        for key in levels.columns
        if key not in ("measure", "mean", "ci_low", "ci_high", "n") and levels[key].nunique() > 1
    ]
    told = [[_key(key, row[key]) for key in keys] for _, row in levels.iterrows()]
    places = ["; ".join(dict.fromkeys(row)) for row in told]
    numbers = levels[["mean", "ci_low", "ci_high"]].to_numpy().tolist()
    return [
        f"| {place} | {_measure(measure)} | {level(*number)} |"
        for place, measure, number in zip(places, levels["measure"], numbers, strict=True)
    ]


def _key(key: str, value: object) -> str:
    told = f"{value:g}" if isinstance(value, int | float) else str(value)
    return f"{key.partition('.')[2].replace('_', ' ')} {told}" if "." in key else told


def _measure(name: str) -> str:
    plain, less, first = name.partition(" less ")
    return f"{UNITS[plain]}{less}{first}"


def main() -> None:
    """Write the numbers, and the pictures where somebody wants them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--only", nargs="*", default=list(ROWS), help="scenarios; default: all")
    arguments = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.figures or Path(scratch)
        page = PAGE.read_text(encoding="utf-8")
        for name in arguments.only:
            page = with_numbers(page, name, folder)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
