"""The posted-price rule as a router: requests choose, in order of arrival."""

from dataclasses import dataclass

import numpy as np

from hanse.market.book import Assignment, Book
from hanse.market.clearing import FORBIDDEN


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedRouter:
    """Serial dictatorship in order of readiness: each request takes its best offer, if positive."""

    def route(self, book: Book) -> Assignment:
        """Serve requests one after another at posted prices."""
        free = book.offer_free.copy()
        n_requests, n_sinks = book.net_nano_usd.shape
        offer = np.full(n_requests, -1)
        price = np.rint(book.offer_posted_usd_per_us * book.billed_us[:, book.offer_sink] * 1e9)
        surplus = book.worth_nano_usd[:, book.offer_sink] - price.astype(np.int64)
        surplus[book.net_nano_usd[:, book.offer_sink] == FORBIDDEN] = FORBIDDEN
        for row in np.lexsort((book.request, book.request_ready_us)):
            gain = np.where(free > 0, surplus[row], FORBIDDEN)
            best = int(gain.argmax())
            if gain[best] > 0:
                offer[row] = best
                free[best] -= 1
        return Assignment(offer=offer, rent_nano_usd=np.zeros(n_sinks, np.int64))
