"""Driving the compiled engine from Python, with a foreign router called where a regime has one."""

from hanse.market.book import read_book, write_assignment
from hanse.market.engine.advance import IS_DONE, NEEDS_ROUTE, advance, close, resume
from hanse.market.engine.columns import Facts, Rules, State
from hanse.market.router import Router, check_assignment


def run_until(
    facts: Facts, rules: Rules, state: State, until_us: int, router: Router | None = None
) -> None:
    """Advance a run to `until_us`, exclusive.

    Raises
    ------
    RouterError
        If the router answers a book with an assignment that is not feasible.
    """
    status = advance(facts, rules, state, until_us)
    while status == NEEDS_ROUTE:
        assert router is not None, "the regime has a foreign rule but no router"
        book = read_book(facts, state)
        assignment = router.route(book)
        check_assignment(book, assignment)
        write_assignment(state, assignment)
        status = resume(facts, rules, state)
        if status == IS_DONE:
            status = advance(facts, rules, state, until_us)


def finish_run(facts: Facts, rules: Rules, state: State) -> None:
    """Close the ledgers of time at the horizon."""
    close(facts, rules, state)
