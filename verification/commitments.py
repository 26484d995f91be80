"""The one place for commitments to computations: state digests, chains, trees and their proofs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from hanse.verification.framing import (
    DIGEST_BYTES,
    big_endian,
    canonical_bytes,
    digest_of,
    require_bytes,
)

EMPTY_ROOT: Final = sha256(b"").digest()
LEAF_PREFIX: Final = b"\0"
NODE_PREFIX: Final = b"\1"


def state_leaf(
    task_id: bytes, step: int, tensor_digests: Mapping[str, bytes], *, batch_digest: bytes
) -> bytes:
    """Digest everything that a step leaves behind, and the batch that it has read.

    Parameters
    ----------
    tensor_digests : digest of 32 bytes by name of the tensor, in any order.

    Raises
    ------
    ValueError
        If a digest has not 32 bytes, or the step does not fit eight bytes.
    """
    parts = [
        require_bytes("task_id", task_id, DIGEST_BYTES),
        big_endian("step", step),
        require_bytes("batch_digest", batch_digest, DIGEST_BYTES),
    ]
    for name in sorted(tensor_digests):
        parts += name.encode(), require_bytes(name, tensor_digests[name], DIGEST_BYTES)
    return digest_of(canonical_bytes(b"state", *parts), person=b"hanse.state.v1")


def chain_start(task_id: bytes, program_digest: bytes, leaf: bytes) -> bytes:
    """Begin a chain of states, bound to its task and program."""
    parts = (task_id, program_digest, leaf)
    for part in parts:
        require_bytes("each part of a chain", part, DIGEST_BYTES)
    return digest_of(canonical_bytes(b"chain-start", *parts), person=b"hanse.chain.v1")


def chain_next(previous: bytes, leaf: bytes) -> bytes:
    """Extend a chain by one state: chains that differ once differ ever after.

    A bisection over states alone loses a deviation that heals before its end; over chains it does
    not.
    """
    for part in (previous, leaf):
        require_bytes("each part of a chain", part, DIGEST_BYTES)
    return digest_of(canonical_bytes(b"chain", previous, leaf), person=b"hanse.chain.v1")


def trace_leaf(step: int, chain: bytes) -> bytes:
    """Return the leaf of a checkpoint in the tree of a trace: 8 bytes of step, 32 of chain."""
    return big_endian("step", step) + require_bytes("chain", chain, DIGEST_BYTES)


def operator_leaf(
    index: int,
    operator_id: bytes,
    version: int,
    *,
    input_digests: Sequence[bytes],
    output_digest: bytes,
) -> bytes:
    """Return the leaf of one operator of a step; the tree over them exists in disputes alone."""
    digests = [require_bytes("input_digests", digest, DIGEST_BYTES) for digest in input_digests]
    return canonical_bytes(
        b"operator",
        big_endian("index", index),
        operator_id,
        big_endian("version", version),
        *digests,
        require_bytes("output_digest", output_digest, DIGEST_BYTES),
    )


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf (RFC 6962, 2.1); its prefix keeps it from passing for a node."""
    return sha256(LEAF_PREFIX + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children (RFC 6962, 2.1)."""
    return sha256(NODE_PREFIX + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class MerkleTree:
    """An RFC 6962 tree with all its nodes, for who proves more than once; see `tree_over`.

    Attributes
    ----------
    levels : hashes from the leaves up. Node i of level h covers the leaves from i·2^h to before
        (i + 1)·2^h, as far as there are any; a last node without a sibling rises as it is.
    """

    levels: tuple[tuple[bytes, ...], ...]

    @property
    def size(self) -> int:
        return len(self.levels[0])

    @property
    def root(self) -> bytes:
        return self.levels[-1][0] if self.size else EMPTY_ROOT

    def inclusion_proof(self, index: int) -> tuple[bytes, ...]:
        """Return the siblings from the leaf up (RFC 6962, 2.1.1).

        Raises
        ------
        IndexError
            If there is no such leaf.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"index must be from 0 to {self.size - 1}, got {index}")
        siblings = [(level, (index >> height) ^ 1) for height, level in enumerate(self.levels)]
        return tuple(level[at] for level, at in siblings if at < len(level))

    def consistency_proof(self, old_size: int) -> tuple[bytes, ...]:
        """Return the nodes that lead from the root over the first leaves to this one (2.1.2).

        Raises
        ------
        IndexError
            If `old_size` is not from 1 to the size: nothing proves consistency with no leaves.
        """
        if not 1 <= old_size <= self.size:
            raise IndexError(f"old_size must be from 1 to {self.size}, got {old_size}")
        return tuple(self._subproof(old_size, 0, self.size))[::-1]

    def _subproof(self, old_size: int, first: int, end: int) -> Iterator[bytes]:
        """Walk down the path to the end of the old tree; what is yielded last comes first."""
        is_whole = True
        while old_size < end:
            split = first + (1 << ((end - first - 1).bit_length() - 1))
            if old_size <= split:
                yield self._covering(split, end)
                end = split
            else:
                yield self._covering(first, split)
                first, is_whole = split, False
        if not is_whole:
            yield self._covering(first, end)

    def _covering(self, first: int, end: int) -> bytes:
        height = (end - first - 1).bit_length()
        return self.levels[height][first >> height]


def tree_over(leaves: Sequence[bytes]) -> MerkleTree:
    """Build the tree over leaves of any bytes."""
    levels = [tuple(map(leaf_hash, leaves))]
    while len(below := levels[-1]) > 1:
        above = [node_hash(*below[at : at + 2]) for at in range(0, len(below) - 1, 2)]
        levels.append((*above, *below[len(below) & ~1 :]))
    return MerkleTree(levels=tuple(levels))


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaves (RFC 6962, 2.1): 32 bytes, of no leaves the SHA-256 of nothing.

    >>> merkle_root([b""]).hex()[:16]
    '6e340b9cffb37a98'
    """
    return tree_over(leaves).root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return `MerkleTree.inclusion_proof` of a tree that is built for this alone."""
    return tree_over(leaves).inclusion_proof(index)


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Return `MerkleTree.consistency_proof` of a tree that is built for this alone."""
    return tree_over(leaves).consistency_proof(old_size)


def is_included(leaf: bytes, index: int, size: int, *, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether a leaf stands at an index of the tree of this size and root.

    Whatever is malformed proves nothing: an index out of range, a hash that has not 32 bytes, a
    proof that is too long or too short.
    """
    return is_hash_included(leaf_hash(leaf), index, size, proof=proof, root=root)


def is_hash_included(
    hashed: bytes, index: int, size: int, *, proof: Sequence[bytes], root: bytes
) -> bool:
    """Say the same of the hash of a leaf."""
    if not 0 <= index < size or not _are_hashes((hashed, *proof)):
        return False
    at, last = index, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            hashed = node_hash(sibling, hashed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hashed == root


def is_consistent(
    old_size: int, size: int, *, old_root: bytes, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Say whether the tree of `size` leaves begins with the leaves of the tree of `old_size`.

    Whatever is malformed proves nothing; nor does anything about a tree of no leaves.
    """
    if not 1 <= old_size <= size or not _are_hashes((old_root, root, *proof)):
        return False
    if old_size == size:
        return not proof and old_root == root
    # Where the old tree is full, its root is the first node of the path and is not sent.
    nodes = [*([old_root] if old_size & (old_size - 1) == 0 else []), *proof]
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not nodes:
        return False
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == root


def _are_hashes(values: Sequence[object]) -> bool:
    return all(isinstance(value, bytes) and len(value) == DIGEST_BYTES for value in values)
