"""Contracts: what they pay by hand and by theorem, what indices say, what makers and houses do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from hanse.market.exchange.clearing_house import (
    LAYERS,
    Cleared,
    House,
    bilateral_payments,
    clear_path,
    shared_out,
)
from hanse.market.exchange.contracts import (
    CALL,
    FORWARD,
    PUT,
    Contracts,
    black_76,
    capital_usd,
    cash_flows,
    settlement,
    sold_on,
    value_of,
)
from hanse.market.exchange.market_making import Maker, make_market, quoted_spread, reservation_price
from hanse.market.exchange.price_indices import trimmed_mean, volume_median, volume_weighted_mean
from hanse.market.units import MICRO_USD_PER_USD, Integers

USD = MICRO_USD_PER_USD
PRICES = st.integers(0, 50 * USD)
QUANTITIES = st.integers(0, 10_000_000)


def contracts(kinds: list[int], *, quantity: int, strike: int, premium: int = 0) -> Contracts:
    """Write contracts of one size from party 1 to party 0."""
    n = len(kinds)
    return Contracts(
        long=np.zeros(n, np.int64),
        short=np.ones(n, np.int64),
        kind=np.array(kinds),
        quantity_gpu_s=np.full(n, quantity),
        strike_micro_usd_per_gpu_hour=np.full(n, strike),
        premium_micro_usd=np.full(n, premium),
    )


def prices(value: int, n: int) -> Integers:
    """Return one settlement price, n times."""
    return np.full(n, value)


def test_contracts_pay_what_paper_says() -> None:
    """Ten GPU-hours at 2 USD, settled at 3 and at 1."""
    three = contracts([FORWARD, CALL, PUT], quantity=36_000, strike=2 * USD)
    assert settlement(three, prices(3 * USD, 3)).tolist() == [10 * USD, 10 * USD, 0]
    assert settlement(three, prices(1 * USD, 3)).tolist() == [-10 * USD, 0, 10 * USD]


@given(quantity=QUANTITIES, strike=PRICES, price=PRICES)
def test_a_call_less_a_put_is_a_forward_to_the_micro_usd(
    quantity: int, strike: int, price: int
) -> None:
    three = contracts([FORWARD, CALL, PUT], quantity=quantity, strike=strike)
    forward, call, put = settlement(three, prices(price, 3)).tolist()
    assert call - put == forward


@given(quantity=QUANTITIES, strike=PRICES, price=PRICES, premium=PRICES)
def test_what_one_side_pays_the_other_receives(
    quantity: int, strike: int, price: int, premium: int
) -> None:
    two = contracts([FORWARD, CALL], quantity=quantity, strike=strike, premium=premium)
    flow = cash_flows(two, prices(price, 2), n_parties=3)
    assert flow.sum() == 0
    assert flow[2] == 0


def test_what_cannot_be_exact_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        value_of(np.array([10**13]), np.array([10**9]))


@given(quantity=QUANTITIES, share=st.floats(0, 1), price=PRICES)
def test_a_contract_that_is_sold_on_owes_what_it_owed(
    quantity: int, share: float, price: int
) -> None:
    whole = contracts([CALL], quantity=quantity, strike=2 * USD)
    parted = sold_on(whole, 0, buyer=2, quantity_gpu_s=round(quantity * share))
    owed = int(settlement(whole, prices(price, 1)).sum())
    assert abs(int(settlement(parted, prices(price, 2)).sum()) - owed) <= 1
    flow = cash_flows(parted, prices(price, 2), n_parties=3)
    assert flow.sum() == 0


def test_more_than_is_held_cannot_be_sold_on() -> None:
    with pytest.raises(ValueError, match="quantity_gpu_s"):
        sold_on(contracts([CALL], quantity=5, strike=USD), 0, buyer=2, quantity_gpu_s=6)


@pytest.mark.parametrize("strike", [1.0, 1.8, 2.0, 2.6, 5.0])
def test_black_76_is_the_mean_pay_off_of_a_log_normal_price(strike: float) -> None:
    forward, sigma, years, rate = 2.0, 0.7, 0.5, 0.04
    call, put = black_76(
        np.array([forward]), np.array([strike]), sigma=sigma, years=years, rate=rate
    )
    spread = sigma * years**0.5
    law = stats.lognorm(spread, scale=forward * np.exp(-(spread**2) / 2))
    above, _ = integrate.quad(lambda x: (x - strike) * law.pdf(x), strike, np.inf)
    below, _ = integrate.quad(lambda x: (strike - x) * law.pdf(x), 0.0, strike)
    discount = np.exp(-rate * years)
    assert call[0] == pytest.approx(discount * above, abs=1e-7)
    assert put[0] == pytest.approx(discount * below, abs=1e-7)
    assert call[0] - put[0] == pytest.approx(discount * (forward - strike), abs=1e-12)


def test_options_cost_more_where_prices_move_more() -> None:
    one = np.array([2.0])
    calls = [black_76(one, one, sigma=s, years=1.0)[0][0] for s in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert calls == sorted(calls)


def test_locked_money_costs_the_rate() -> None:
    year = np.array([31_536_000.0, 15_768_000.0])
    assert capital_usd(np.array([100 * USD, 100 * USD]), year, rate_per_year=0.1) == 15.0


def test_indices_part_ways_where_one_trade_is_large_and_dear() -> None:
    price, volume = np.array([1.0, 2.0, 3.0, 50.0]), np.array([1.0, 1.0, 1.0, 1.0])
    assert volume_weighted_mean(price, volume) == 14.0
    assert trimmed_mean(price, volume, share=0.25) == 2.5
    assert volume_median(price, volume) == 2.0
    assert trimmed_mean(price, np.array([1.0, 1.0, 1.0, 0.5]), share=0.1) == pytest.approx(
        (0.65 * 1 + 2 + 3 + 0.15 * 50) / 2.8
    )


@given(
    st.lists(
        st.tuples(st.floats(0.1, 50), st.floats(0.1, 10)),
        min_size=1,
        max_size=30,
    ),
    st.floats(0, 0.49),
)
def test_an_index_lies_among_the_prices(rows: list[tuple[float, float]], share: float) -> None:
    price, volume = np.array(rows).T
    for index in (trimmed_mean(price, volume, share=share), volume_median(price, volume)):
        assert price.min() - 1e-9 <= index <= price.max() + 1e-9


def test_an_index_of_nothing_is_no_number() -> None:
    nothing = np.zeros(0)
    assert np.isnan(volume_weighted_mean(nothing, nothing))
    assert np.isnan(volume_median(nothing, nothing))


# Avellaneda and Stoikov 2008, table 1: 1,000 simulations with these values.
PUBLISHED = Maker(risk_aversion=0.1, order_rate=140.0, order_decay=1.5)
VARIANCE, STEP, N_STEPS, N_PATHS = 4.0, 0.005, 200, 4_000


def paths(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the mid price of the paper, a walk of steps of sigma sqrt(dt), and both coins."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], (N_STEPS, N_PATHS)) * (VARIANCE * STEP) ** 0.5
    mid = 100.0 + np.concatenate([np.zeros((1, N_PATHS)), np.cumsum(signs, axis=0)])
    return mid, rng.random((N_STEPS, N_PATHS)), rng.random((N_STEPS, N_PATHS))


@pytest.mark.parametrize(
    ("keeps_centred", "profit", "spread", "left"),
    [(False, 65.0, 6.6, 2.9), (True, 68.4, 12.7, 8.4)],
)
def test_a_maker_earns_what_was_published(
    keeps_centred: bool, profit: float, spread: float, left: float
) -> None:
    """Within four standard errors of both simulations, and of the digits that are given."""
    maker = Maker(risk_aversion=0.1, order_rate=140.0, order_decay=1.5, keeps_centred=keeps_centred)
    mid, buys, sells = paths(3)
    made = make_market(maker, mid, variance=VARIANCE, step=STEP, buys=buys, sells=sells)
    error = spread * (1 / 1_000 + 1 / N_PATHS) ** 0.5
    assert abs(made.profit.mean() - profit) < 4 * error + 0.05
    assert abs(made.profit.std() - spread) < 4 * error / 2**0.5 + 0.05
    inventory_error = left * (1 / 1_000 + 1 / N_PATHS) ** 0.5 / 2**0.5
    assert abs(made.inventory.std() - left) < 4 * inventory_error + 0.05
    assert made.spread.mean() == pytest.approx(1.49, abs=0.005)


def test_quotes_lean_against_inventory_and_widen_with_risk() -> None:
    inventory = np.array([-2, 0, 2])
    quotes = reservation_price(PUBLISHED, np.full(3, 100.0), inventory, variance_left=4.0)
    assert quotes.tolist() == [100.8, 100.0, 99.2]
    spreads = [quoted_spread(PUBLISHED, variance_left=v) for v in (0.0, 1.0, 2.0, 4.0, 8.0)]
    assert spreads == sorted(spreads)
    assert spreads[0] == pytest.approx(20.0 * np.log(1 + 0.1 / 1.5))


@pytest.mark.parametrize("limit", [0, 1, 2, 4, 8])
def test_a_maker_stays_within_its_inventory(limit: int) -> None:
    maker = Maker(risk_aversion=0.01, order_rate=140.0, order_decay=1.5, inventory_limit=limit)
    mid, buys, sells = paths(4)
    made = make_market(maker, mid, variance=VARIANCE, step=STEP, buys=buys, sells=sells)
    assert np.abs(made.inventory).max() == limit
    assert (made.n_bought - made.n_sold == made.inventory).all()


def test_a_maker_with_less_capital_trades_less() -> None:
    mid, buys, sells = paths(5)
    traded = []
    for capital in (0.0, 150.0, 350.0, 800.0, 5_000.0):
        maker = Maker(risk_aversion=0.01, order_rate=140.0, order_decay=1.5, capital_limit=capital)
        made = make_market(maker, mid, variance=VARIANCE, step=STEP, buys=buys, sells=sells)
        traded.append(int((made.n_bought + made.n_sold).sum()))
    assert traded == sorted(traded)
    assert traded[0] == 0
    assert len(set(traded)) == 5


def house(margin: list[int], fund: list[int], capital: int) -> House:
    """Set up a clearing house."""
    return House(
        margin_micro_usd=np.array(margin),
        fund_micro_usd=np.array(fund),
        capital_micro_usd=capital,
    )


def test_the_waterfall_is_what_paper_says() -> None:
    """Party 0 is short one GPU-hour and has 3; the price rises by 20, of which 17 are missing.

    Its margin bears 5, its fund 2, the house 4, and the two others' funds 2 each: 2 are left for
    those who gain, of the 20 that they are due.
    """
    made = clear_path(
        house([5, 5, 5], [2, 2, 2], 4),
        np.array([-3600, 1800, 1800]),
        np.array([100, 120]),
        cash_micro_usd=np.array([3, 0, 0]),
    )
    assert made.borne_micro_usd.tolist() == [[5, 2, 4, 4, 2]]
    assert made.cash_micro_usd.tolist() == [0, 9, 9]
    assert made.margin_micro_usd.tolist() == [0, 5, 5]
    assert made.fund_micro_usd.tolist() == [0, 0, 0]
    assert made.house_micro_usd == 0
    assert made.defaulted_at.tolist() == [0, -1, -1]
    assert (made.n_calls.tolist(), made.called_micro_usd.tolist()) == ([1], [20])


def test_those_who_gain_bear_what_nothing_else_does() -> None:
    """Party 0 owes 40 of the 80 that party 1 is due, and has nothing; half the position goes."""
    made = clear_path(
        house([0, 0, 0], [0, 0, 0], 0),
        np.array([-3600, 7200, -3600]),
        np.array([100, 140, 105]),
        cash_micro_usd=np.array([0, 0, 1_000]),
    )
    assert made.defaulted_at.tolist() == [0, -1, -1]
    assert made.borne_micro_usd.tolist() == [[0, 0, 0, 0, 40], [0, 0, 0, 0, 0]]
    # Left with half, party 1 gains 40 and loses 35; party 2 the other way round.
    assert made.cash_micro_usd.tolist() == [0, 5, 995]


def test_default_spreads_along_a_chain_of_debts() -> None:
    """0 owes 1, who owes 2, who owes 3, 10 each: 1 and 2 fail only if 0 does, one after another."""
    owed = np.zeros((4, 4), np.int64)
    owed[0, 1] = owed[1, 2] = owed[2, 3] = 10
    for cash, paid in ((10, [10, 10, 10]), (4, [4, 5, 7]), (0, [0, 1, 3])):
        made = bilateral_payments(owed, np.array([cash, 1, 2, 0]))
        assert made.sum(axis=1).tolist()[:3] == paid


def test_payments_are_those_of_a_linear_program() -> None:
    """Eisenberg and Noe, lemma 4: the clearing vector maximises what is paid in total."""
    rng = np.random.default_rng(2)
    owed = rng.integers(0, 10**9, (5, 5)) * (rng.random((5, 5)) < 0.6)
    np.fill_diagonal(owed, 0)
    owed[0, 1] = 10**9
    cash = rng.integers(0, 4 * 10**8, 5)
    total_owed = owed.sum(axis=1)
    share = owed / np.maximum(total_owed, 1)[:, None]
    bounds = [(0.0, float(one)) for one in total_owed]
    found = optimize.linprog(-np.ones(5), np.eye(5) - share.T, cash, bounds=bounds)
    paid = bilateral_payments(owed, cash).sum(axis=1)
    assert (paid < total_owed).any()
    assert np.allclose(paid, found.x, atol=100.0)


def total(made: Cleared) -> int:
    """Add up all the money that there is."""
    columns = (made.cash_micro_usd, made.margin_micro_usd, made.fund_micro_usd)
    return int(sum(column.sum() for column in columns)) + made.house_micro_usd


@settings(max_examples=200)
@given(data=st.data(), n=st.integers(2, 6))
def test_a_clearing_house_makes_and_loses_no_money(data: st.DataObject, n: int) -> None:
    money = st.lists(st.integers(0, 1_000_000), min_size=n, max_size=n)
    asked = house(data.draw(money), data.draw(money), data.draw(st.integers(0, 1_000_000)))
    position = np.array(
        data.draw(st.lists(st.integers(-100_000, 100_000), min_size=n - 1, max_size=n - 1))
    )
    position = np.append(position, -position.sum())
    price = np.array(data.draw(st.lists(st.integers(0, 9 * USD), min_size=2, max_size=8)))
    cash = np.array(data.draw(money))
    made = clear_path(asked, position, price, cash_micro_usd=cash)
    there = int(cash.sum() + asked.margin_micro_usd.sum() + asked.fund_micro_usd.sum())
    assert total(made) == there + asked.capital_micro_usd
    assert made.cash_micro_usd.min() >= 0
    assert made.margin_micro_usd.min() >= 0
    assert made.fund_micro_usd.min() >= 0
    assert made.house_micro_usd >= 0
    assert made.borne_micro_usd.shape[1] == len(LAYERS)


def test_a_larger_move_calls_more_and_fails_more() -> None:
    rng = np.random.default_rng(1)
    position = rng.integers(-10_000, 10_000, 19)
    position = np.append(position, -position.sum())
    cash, zero = np.full(20, USD), np.zeros(20, np.int64)
    walk = np.cumsum(rng.standard_normal(12))
    called, failed = [], []
    for dose in (0.01, 0.1, 0.3, 1.0, 3.0):
        price = np.rint((10.0 + dose * walk) * USD).astype(np.int64)
        asked = House(margin_micro_usd=zero, fund_micro_usd=zero, capital_micro_usd=0)
        made = clear_path(asked, position, price, cash_micro_usd=cash)
        called.append(int(made.called_micro_usd[0]))
        failed.append(int((made.defaulted_at == 0).sum()))
    assert called == sorted(called)
    assert failed == sorted(failed)
    assert failed[0] == 0
    assert failed[-1] > 0


@given(st.integers(0, 10_000), st.lists(st.integers(0, 1_000), min_size=1, max_size=9))
def test_what_is_shared_out_is_whole(amount: int, weight: list[int]) -> None:
    part = shared_out(amount, np.array(weight))
    assert part.sum() == (amount if sum(weight) else 0)
    if amount <= sum(weight):
        assert (part <= np.array(weight)).all()
