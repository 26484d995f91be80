"""All strategies of solvers and checkers, learned from what they earn at the prices of a run.

A run says what a task pays and costs, how often it is audited, and by whom. The regime's protocol
says what each strategy then earns against each of the other side, and two populations shift
towards what pays (`hanse.verification.learning`). What comes of it can be played for real:
`verification.cheat` and `verification.checker` name a strategy of each.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from hanse.agents.lowering import audit_probability
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.regime import AUDITED_MARKET, Regime
from hanse.market.units import MICRO_USD_PER_USD
from hanse.scenarios.draw import draw_world
from hanse.scenarios.real_tasks import INTERVAL, N_STEPS, protocol_of
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.learned_cheating import settled_work
from hanse.verification.learning import Mix, Path, replicate
from hanse.verification.protocols.checked import ProofOfSampling
from hanse.verification.protocols.expectation import Game, game_of
from hanse.verification.protocols.interface import SOLVERS, VERIFIERS, Strategy, TaskShape


def game_in(
    world: World,
    regime: Regime,
    ledger: Ledger,
    *,
    verifiers: Sequence[Strategy] = VERIFIERS,
    fee_share: float = 1.0,
) -> Game:
    """Return what strategies earn per USD of reward, for the mean task that a ledger settled.

    Parameters
    ----------
    fee_share : of what an audit costs, paid to whoever was drawn for it, whatever it reports.
    """
    _, reward, cost = settled_work(ledger)
    if not len(reward):
        raise ValueError("ledger must have settled a task that pays, got none")
    terms = world.terms
    honest = round(float((cost / reward).mean()) * MICRO_USD_PER_USD)
    task = TaskShape(
        n_steps=N_STEPS,
        n_operators=1,
        checkpoint_interval=INTERVAL,
        work_us=0,
        state_bytes=0,
        input_bytes=0,
        reward_micro_usd=MICRO_USD_PER_USD,
        honest_cost_micro_usd=honest,
        lazy_cost_micro_usd=round((1.0 - min(1.0, terms.saved_share)) * honest),
        checking_cost_micro_usd=honest,
    )
    audited = audit_probability(terms, regime)
    protocol = protocol_of(world, regime, audited=audited, ring=terms.conduct.ring_share)
    if isinstance(protocol, ProofOfSampling):
        fee = fee_share * protocol.audit_share(task) * honest
        protocol = replace(protocol, audit_fee_micro_usd=round(fee))
    return game_of(
        protocol,
        task,
        solvers=SOLVERS,
        verifiers=verifiers,
        stake_micro_usd=round(terms.stake_multiple * MICRO_USD_PER_USD) * ledger.has_stakes,
    )


def learn_strategies(
    scenario: Scenario,
    *,
    regime: Regime = AUDITED_MARKET,
    seed: int = 0,
    verifiers: Sequence[Strategy] = VERIFIERS,
    fee_share: float = 1.0,
    duration: float = 200.0,
    n_times: int = 101,
) -> pd.DataFrame:
    """Run a scenario once, and let strategies grow by what they earn at its prices.

    All strategies of either side begin with the same share.

    Parameters
    ----------
    verifiers : strategies that those who check know.
    fee_share : as in `game_in`.
    duration : until when, in units of 1 over the pay-off, per USD of reward.

    Returns
    -------
    A row per instant, role and strategy: time, role, strategy, share.
    """
    world = draw_world(scenario, seed)
    model = ComputeMarket(world, regime, with_agents=False)
    ledger = model.run_to_horizon()
    game = game_in(world, regime, ledger, verifiers=verifiers, fee_share=fee_share)
    release(model)
    start = Mix(
        solver=np.full(len(game.solvers), 1.0 / len(game.solvers)),
        verifier=np.full(len(verifiers), 1.0 / len(verifiers)),
    )
    return _as_rows(game, replicate(game, start, np.linspace(0.0, duration, n_times)))


def _as_rows(game: Game, path: Path) -> pd.DataFrame:
    sides = (("solver", game.solvers, path.solver), ("verifier", game.verifiers, path.verifier))
    frames = [
        pd.DataFrame(shares, columns=[str(each) for each in strategies])
        .assign(time=path.time, role=role)
        .melt(id_vars=["time", "role"], var_name="strategy", value_name="share")
        for role, strategies, shares in sides
    ]
    return pd.concat(frames, ignore_index=True)
