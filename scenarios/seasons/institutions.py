"""The one place for the numbers by which agents decide between seasons; none names a regime."""

from dataclasses import dataclass, fields

from hanse.agents.choices import REPLICATOR
from hanse.scenarios.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Institutions:
    """The parameters of the section `institutions`; what each is stands beside its value there."""

    demand_headroom: float
    demand_elasticity: float
    budget_multiple: float
    forecast_memory: float
    forecast_error_sigma: float
    response_share: float
    deciding_share: float
    menu_cost_share: float
    believed_elasticity: float
    elasticity_learning_rate: float
    elsewhere_usd_per_gpu_hour: float
    growth_share: float
    exit_share: float
    build_seasons: int
    write_off_years: float
    independent_premium_per_year: float
    relocation_share: float
    moving_usd_per_gpu_hour: float
    own_growth_share: float
    own_learning_rate: float
    hoarding: bool
    uncertainty_scale: float
    need_cv: float
    pool_buyers: int
    ration_cap: float
    resale: bool
    resale_haircut: float
    resale_market: bool
    resale_share: float
    need_signal_error: float
    hub_rent_share: float
    honesty_rule: str
    hoarding_rule: str
    entry_rule: str
    learning_rate: float
    forgetting: float
    experimentation: float
    exploration: float
    least_share: float
    honesty_learning_rate: float
    reputation_rewards: float
    verifier_cost_usd: float


def learns_honesty(own: Institutions) -> bool:
    """Say whether anybody learns to cheat; else temptation stays as drawn."""
    return own.honesty_learning_rate > 0.0 or own.honesty_rule != REPLICATOR


def institutions_of(scenario: Scenario) -> Institutions:
    """Read the section of a scenario."""
    values = {f.name: scenario.values[f"institutions.{f.name}"] for f in fields(Institutions)}
    return Institutions(**values)  # type: ignore[arg-type]
