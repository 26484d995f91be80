"""The one place that lays out graphs of stages from templates, for many jobs at once.

A template is a series of steps. Each step adds to a job as many stages of one role as the job has
drawn for it, none where the job skips the step, and says what those stages follow:

- `AFTER_ALL`: every stage that nothing follows yet. One stage joins; several fan out.
- `AFTER_EACH`: the k-th follows the k-th of the step before. A chain is a series of these; side by
  side they are agents at work, and where fewer go on, the others have come to their end.
- `AFTER_PAIRS`: one stage for each pair of the step before.

A choice, a repetition or another round is a width that was drawn, so no job needs a loop.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise

import numpy as np

from hanse.market.units import Flags, Integers


class Link(IntEnum):
    """What the stages of a step follow."""

    AFTER_ALL = 0
    AFTER_EACH = 1
    AFTER_PAIRS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Stages of one role that a template adds at once.

    Attributes
    ----------
    width : shape (n_jobs,), how many stages each job has here.
    """

    role: int
    width: Integers
    link: Link = Link.AFTER_ALL


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """The graphs of many jobs as flat columns; stages are sorted by (job, ordinal).

    Attributes
    ----------
    n_stages : shape (n_jobs,).
    role, depth : of each stage; depth counts the steps before it in its job.
    follows : the stage whose thread of work it goes on with, by `AFTER_EACH`, or -1.
    edge_from, edge_to : shape (n_edges,), stages; sorted by (edge_to, edge_from), and never back.
    """

    n_stages: Integers
    role: Integers
    depth: Integers
    follows: Integers
    edge_from: Integers
    edge_to: Integers

    @cached_property
    def job(self) -> Integers:
        """The job of each stage."""
        return np.repeat(np.arange(len(self.n_stages)), self.n_stages)

    @cached_property
    def is_first(self) -> Flags:
        """Whether a stage follows no other."""
        is_first = np.ones(len(self.role), bool)
        is_first[self.edge_to] = False
        return is_first


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layers:
    """The steps that jobs really take, in order of job and step; shape (n_layers,).

    Attributes
    ----------
    first : the first stage of the layer.
    leads : whether it is the first layer of its job.
    """

    job: Integers
    role: Integers
    link: Integers
    width: Integers
    first: Integers
    leads: Flags


def lay_out(n_jobs: int, steps: Iterable[Step]) -> Graphs:
    """Turn a template and what each job has drawn for it into stages and edges.

    Examples
    --------
    One job of a stage, two that follow it, and one that joins them:

    >>> graphs = lay_out(1, [Step(role=0, width=np.array([n])) for n in (1, 2, 1)])
    >>> list(zip(graphs.edge_from.tolist(), graphs.edge_to.tolist()))
    [(0, 1), (0, 2), (1, 3), (2, 3)]
    """
    layers = _layers(n_jobs, steps)
    layer = np.repeat(np.arange(len(layers.job)), layers.width)
    rank = np.arange(len(layer)) - layers.first[layer]
    link = np.where(layers.leads, -1, layers.link)[layer]
    each, pairs = np.flatnonzero(link == Link.AFTER_EACH), np.flatnonzero(link == Link.AFTER_PAIRS)
    before = layers.first[layer - 1]  # of the first layer, whose link is -1, it means nothing
    follows = np.full(len(layer), -1)
    follows[each] = before[each] + rank[each]
    assert (rank[each] < layers.width[layer[each] - 1]).all()
    high, low = np.tril_indices(int(layers.width.max(initial=1)) if len(pairs) else 1, -1)
    joined = _joined(layers, layer, rank=rank, joining=np.flatnonzero(link == Link.AFTER_ALL))
    edge_from = [joined[0], follows[each]]
    edge_from += [before[pairs] + low[rank[pairs]], before[pairs] + high[rank[pairs]]]
    edge_to = np.concatenate([joined[1], each, pairs, pairs])
    whole_from = np.concatenate(edge_from)
    order = np.lexsort((whole_from, edge_to))
    lead = np.flatnonzero(layers.leads)
    depth = np.arange(len(layers.job)) - np.repeat(lead, np.diff(lead, append=len(layers.job)))
    return Graphs(
        n_stages=np.bincount(layers.job, layers.width, n_jobs).astype(np.int64),
        role=layers.role[layer],
        depth=depth[layer],
        follows=follows,
        edge_from=whole_from[order],
        edge_to=edge_to[order],
    )


def repeated(body: Iterable[Step], times: Integers) -> Iterator[Step]:
    """Yield the steps of a body as many times as each job has drawn, for a job's every round."""
    steps = tuple(body)
    for n in range(int(times.max(initial=0))):
        for step in steps:
            width = np.where(n < times, step.width, 0)
            yield Step(role=step.role, width=width, link=step.link)


def threads(role: int, *, calls: Integers, side_by_side: Integers) -> Iterator[Step]:
    """Yield the steps of threads of work that share out a number of stages evenly.

    Parameters
    ----------
    calls, side_by_side : shape (n_jobs,); at most as many threads as stages are begun.
    """
    link, left = Link.AFTER_ALL, calls
    while left.any():
        yield Step(role=role, width=np.minimum(left, side_by_side), link=link)
        left, link = np.maximum(left - side_by_side, 0), Link.AFTER_EACH


def longest_us(graphs: Graphs, us: Integers) -> Integers:
    """Return the length of each job's longest path if each stage takes so long, shape (n_jobs,)."""
    ready = np.zeros(len(us), np.int64)
    to_depth = graphs.depth[graphs.edge_to]
    edges = np.argsort(to_depth, kind="stable")
    bounds = np.searchsorted(to_depth[edges], np.arange(1, graphs.depth.max(initial=0) + 2))
    for begin, end in pairwise(bounds):
        here = edges[begin:end]
        done = graphs.edge_from[here]
        np.maximum.at(ready, graphs.edge_to[here], ready[done] + us[done])
    longest = np.zeros(len(graphs.n_stages), np.int64)
    np.maximum.at(longest, graphs.job, ready + us)
    return longest


def _layers(n_jobs: int, steps: Iterable[Step]) -> _Layers:
    nothing = np.zeros(0, np.int64)
    jobs, widths, kinds = [nothing], [nothing], [(0, 0)]
    for step in steps:
        takers = np.flatnonzero(step.width)
        jobs.append(takers)
        widths.append(step.width[takers])
        kinds.append((step.role, step.link))
    job = np.concatenate(jobs)
    assert len(job) == 0 or job.max() < n_jobs
    # Steps come in order, so a stable sort by job leaves each job's steps in theirs.
    order = job.argsort(kind="stable")
    job, width = job[order], np.concatenate(widths)[order]
    role, link = np.repeat(np.array(kinds), [len(takers) for takers in jobs], axis=0)[order].T
    return _Layers(
        job=job,
        role=role,
        link=link,
        width=width,
        first=np.cumsum(width) - width,
        leads=np.diff(job, prepend=-1) != 0,
    )


def _joined(
    layers: _Layers, layer: Integers, *, rank: Integers, joining: Integers
) -> tuple[Integers, Integers]:
    """Return the edges of the stages that follow every open end before them, (from, to)."""
    begins = layers.leads | (layers.link == Link.AFTER_ALL)
    stretch = np.cumsum(begins) - 1
    goes_on = np.where(layers.link == Link.AFTER_PAIRS, np.roll(layers.width, 1), layers.width)
    going_on = np.append(np.where(begins, 0, goes_on)[1:], 0)
    end = np.flatnonzero(rank >= going_on[layer])
    n_ends = np.bincount(stretch[layer[end]], minlength=len(layers.job) + 1)
    first_end = np.cumsum(n_ends) - n_ends
    before = stretch[layer[joining]] - 1
    n_before = n_ends[before]
    edge_to = np.repeat(joining, n_before)
    within = np.arange(len(edge_to)) - np.repeat(np.cumsum(n_before) - n_before, n_before)
    return end[np.repeat(first_end[before], n_before) + within], edge_to
