"""The welfare rule as a router: exact clearing with locational rents."""

from dataclasses import dataclass

import numpy as np

from hanse.market.book import Assignment, Book
from hanse.market.clearing import clear_welfare, clearing_scratch
from hanse.market.router import offers_of_sinks


@dataclass(frozen=True, slots=True, kw_only=True)
class WelfareRouter:
    """Maximise joint welfare over the book; what the engine does when `rule=WELFARE`."""

    def route(self, book: Book) -> Assignment:
        """Clear the book exactly; see `hanse.market.clearing.clear_welfare`."""
        n_requests, n_sinks = book.net_nano_usd.shape
        capacity = np.bincount(book.offer_sink, weights=book.offer_free, minlength=n_sinks)
        sink, rent = np.full(n_requests, -1), np.zeros(n_sinks, np.int64)
        scratch = clearing_scratch(max(1, n_requests), n_sinks)
        clear_welfare(book.net_nano_usd, capacity.astype(np.int64), sink, rent, scratch)
        return Assignment(offer=offers_of_sinks(book, sink), rent_nano_usd=rent)
