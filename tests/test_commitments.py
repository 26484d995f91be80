"""Commitments: what binds a computation, and what no proof can make true."""

import json
from base64 import b64decode
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.verification.commitments import (
    EMPTY_ROOT,
    chain_next,
    chain_start,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_hash_included,
    is_included,
    leaf_hash,
    merkle_root,
    node_hash,
    operator_leaf,
    state_leaf,
    trace_leaf,
    tree_over,
)

INCLUSION = Path(__file__).resolve().parents[2] / "shared/vectors/merkle/inclusion"
CONSISTENCY = INCLUSION.with_name("consistency")

# The leaves and roots that implementations of RFC 6962 have shared since the first.
RFC_6962_LEAVES = tuple(
    map(
        bytes.fromhex,
        (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ),
    )
)
RFC_6962_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

repeatable = settings(derandomize=True, deadline=None, max_examples=60, database=None)
digests = st.binary(min_size=32, max_size=32)
# Distinct, so that a leaf stands at one index alone.
leaves = st.lists(st.binary(max_size=70), min_size=1, max_size=40, unique=True)
TASK, PROGRAM, BATCH = (bytes([at]) * 32 for at in (1, 2, 3))


# RFC 6962, section 2.1, as it is written there: recursion over lists, and nothing shared.


def mth(d: list[bytes]) -> bytes:
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\0" + d[0]).digest()
    k = split_of(len(d))
    return sha256(b"\1" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = split_of(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], is_whole: bool) -> list[bytes]:
    if m == len(d):
        return [] if is_whole else [mth(d)]
    k = split_of(len(d))
    if m <= k:
        return [*subproof(m, d[:k], is_whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def split_of(n: int) -> int:
    return max(2**power for power in range(n.bit_length()) if 2**power < n)


@dataclass(frozen=True)
class Proof:
    """A case of the vectors: what is to be checked, and whether it should fail."""

    name: str
    fields: dict[str, object]

    def hash_of(self, field: str) -> bytes:
        return b64decode(str(self.fields[field] or ""))

    @property
    def proof(self) -> list[bytes]:
        return [b64decode(node) for node in self.fields["proof"] or []]


def cases_in(folder: Path) -> list[Proof]:
    if not folder.is_dir():
        pytest.skip(f"PROOFS NOT TESTED AGAINST VECTORS: no folder {folder}")
    files = sorted(folder.rglob("*.json"))
    return [Proof(str(file.relative_to(folder)), json.loads(file.read_text())) for file in files]


def test_agrees_with_every_inclusion_vector() -> None:
    cases = cases_in(INCLUSION)
    wrong = [
        case.name
        for case in cases
        if is_hash_included(
            case.hash_of("leafHash"),
            case.fields["leafIdx"],
            case.fields["treeSize"],
            proof=case.proof,
            root=case.hash_of("root"),
        )
        == case.fields["wantErr"]
    ]
    assert wrong == []
    assert len(cases) == 98
    assert {case.fields["wantErr"] for case in cases} == {True, False}


def test_agrees_with_every_consistency_vector() -> None:
    cases = cases_in(CONSISTENCY)
    wrong = [
        case.name
        for case in cases
        if is_consistent(
            case.fields["size1"],
            case.fields["size2"],
            old_root=case.hash_of("root1"),
            root=case.hash_of("root2"),
            proof=case.proof,
        )
        # One case accepts equal roots of any length; here a root has 32 bytes.
        != (not case.fields["wantErr"] and len(case.hash_of("root1")) == 32)
    ]
    assert wrong == []
    assert {case.fields["wantErr"] for case in cases} == {True, False}


@pytest.mark.parametrize("size", range(9))
def test_has_the_roots_that_all_implementations_share(size: int) -> None:
    assert merkle_root(RFC_6962_LEAVES[:size]).hex() == RFC_6962_ROOTS[size]


@repeatable
@given(leaves=leaves)
def test_roots_and_proofs_are_those_of_the_recursive_definition(leaves: list[bytes]) -> None:
    tree = tree_over(leaves)
    assert tree.root == merkle_root(leaves) == mth(leaves)
    for at in range(len(leaves)):
        assert list(tree.inclusion_proof(at)) == path(at, leaves)
        assert list(tree.consistency_proof(at + 1)) == subproof(at + 1, leaves, True)


def test_every_leaf_and_every_prefix_of_every_small_tree_is_proved() -> None:
    leaves = [bytes([at]) for at in range(33)]
    for size in range(1, 34):
        root = merkle_root(leaves[:size])
        for at, leaf in enumerate(leaves[:size]):
            proof = inclusion_proof(leaves[:size], at)
            assert is_included(leaf, at, size, proof=proof, root=root)
            old_root = merkle_root(leaves[: at + 1])
            steps = consistency_proof(leaves[:size], at + 1)
            assert is_consistent(at + 1, size, old_root=old_root, root=root, proof=steps)


def altered(proof: list[bytes], at: int, bit: int) -> list[list[bytes]]:
    """Alter a proof in every way that keeps it a list of hashes, and in some that do not."""
    node = bytearray(proof[at % len(proof)]) if proof else bytearray(32)
    node[bit // 8] ^= 1 << (bit % 8)
    variants = [
        [*proof, bytes(32)],
        [bytes(32), *proof],
        [*proof, *proof[-1:]],
        [*proof, b""],
        [node + b"\0" for node in proof] or [b""],
        [node[:31] for node in proof] or [b""],
    ]
    if proof:
        cut = at % len(proof)
        variants += [
            proof[:-1],
            proof[1:],
            [*proof[:cut], bytes(node), *proof[cut + 1 :]],
            proof[:cut] + proof[cut + 1 :],
        ]
    return [variant for variant in variants if variant != proof]


@repeatable
@given(leaves=leaves, at=st.integers(0, 39), bit=st.integers(0, 255))
def test_no_altered_proof_of_inclusion_is_accepted(leaves: list[bytes], at: int, bit: int) -> None:
    index, size, root = at % len(leaves), len(leaves), merkle_root(leaves)
    leaf, proof = leaves[index], list(inclusion_proof(leaves, index))
    for variant in altered(proof, at, bit):
        assert not is_included(leaf, index, size, proof=variant, root=root)
    for other in {*range(-1, size + 2)} - {index}:
        assert not is_included(leaf, other, size, proof=proof, root=root)
    assert not is_included(leaf + b"\0", index, size, proof=proof, root=root)
    assert not is_included(leaf, index, size, proof=proof, root=b"")
    assert not is_included(leaf, index, 0, proof=proof, root=root)


@repeatable
@given(leaves=leaves, at=st.integers(0, 39), bit=st.integers(0, 255))
def test_no_altered_proof_of_consistency_is_accepted(
    leaves: list[bytes], at: int, bit: int
) -> None:
    old_size, size = at % len(leaves) + 1, len(leaves)
    old_root, root = merkle_root(leaves[:old_size]), merkle_root(leaves)
    proof = list(consistency_proof(leaves, old_size))
    for variant in altered(proof, at, bit):
        assert not is_consistent(old_size, size, old_root=old_root, root=root, proof=variant)
    other_root = merkle_root([*leaves[: old_size - 1], b"\0" * 71])
    assert not is_consistent(old_size, size, old_root=other_root, root=root, proof=proof)
    assert not is_consistent(old_size, size, old_root=old_root, root=other_root, proof=proof)
    assert not is_consistent(size + 1, size, old_root=old_root, root=root, proof=proof)


@pytest.mark.parametrize("proof", [[], [bytes(32)]])
def test_nothing_is_consistent_with_no_leaves(proof: list[bytes]) -> None:
    root = merkle_root([b"a"])
    assert not is_consistent(0, 1, old_root=EMPTY_ROOT, root=root, proof=proof)
    assert not is_consistent(0, 0, old_root=EMPTY_ROOT, root=EMPTY_ROOT, proof=proof)
    assert not is_included(b"", 0, 0, proof=proof, root=EMPTY_ROOT)


def test_no_root_is_made_for_a_proof_of_another_length() -> None:
    # Whoever chooses the root can choose it so that the hashes fit: then the length must not.
    x, leaf = bytes([7]) * 32, leaf_hash(b"a")
    assert not is_included(b"a", 0, 1, proof=[x], root=node_hash(x, leaf))
    assert not is_included(b"a", 0, 1, proof=[x], root=node_hash(leaf, x))
    assert not is_included(b"a", 0, 4, proof=[x], root=node_hash(leaf, x))
    assert is_included(b"a", 0, 2, proof=[x], root=node_hash(leaf, x))
    root = node_hash(leaf, x)
    assert is_consistent(1, 2, old_root=leaf, root=root, proof=[x])
    assert not is_consistent(1, 4, old_root=leaf, root=root, proof=[x])
    assert not is_consistent(1, 1, old_root=leaf, root=root, proof=[x])
    assert not is_consistent(3, 4, old_root=leaf, root=root, proof=[])


@pytest.mark.parametrize("at", [-1, 3])
def test_there_is_no_proof_of_what_is_not_there(at: int) -> None:
    with pytest.raises(IndexError, match=f"index must be from 0 to 2, got {at}"):
        inclusion_proof([b"a", b"b", b"c"], at)
    with pytest.raises(IndexError, match=f"old_size must be from 1 to 3, got {at + 1 and 4}"):
        consistency_proof([b"a", b"b", b"c"], at + 1 and 4)


def test_a_pair_of_hashes_does_not_pass_for_a_leaf() -> None:
    pair = leaf_hash(b"a") + leaf_hash(b"b")
    assert merkle_root([pair]) != merkle_root([b"a", b"b"])
    root = merkle_root([b"a", b"b", b"c", b"d"])
    proof = inclusion_proof([b"a", b"b", b"c", b"d"], 0)[1:]
    assert not is_included(pair, 0, 2, proof=proof, root=root)
    # Without the prefixes it would: this is the attack.
    bare = [sha256(leaf).digest() for leaf in (b"a", b"b")]
    assert sha256(b"".join(bare)).digest() == sha256(bare[0] + bare[1]).digest()


def test_repeating_the_last_leaf_makes_another_tree() -> None:
    assert merkle_root([b"a", b"b", b"c"]) != merkle_root([b"a", b"b", b"c", b"c"])
    # Where an odd node is paired with itself, it is the same tree: this is the attack.
    assert self_pairing_root([b"a", b"b", b"c"]) == self_pairing_root([b"a", b"b", b"c", b"c"])


def self_pairing_root(leaves: list[bytes]) -> bytes:
    """Hash as trees do that fill up odd levels with a copy of the last node."""
    level = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        level += level[-1:] if len(level) % 2 else []
        level = [
            sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0]


def test_a_proof_says_nothing_about_the_size_that_it_is_read_with() -> None:
    # Leaf 0 has the same path in trees of 3 and 4: the size must come from the program.
    root, proof = merkle_root([b"a", b"b", b"c"]), inclusion_proof([b"a", b"b", b"c"], 0)
    assert is_included(b"a", 0, 3, proof=proof, root=root)
    assert is_included(b"a", 0, 4, proof=proof, root=root)


# States and chains.


def framed_by_hand(kind: bytes, *parts: bytes) -> bytes:
    lengths = [len(part).to_bytes(4, "big") for part in parts]
    return (
        b"hanse/1/"
        + kind
        + b"\0"
        + b"".join(n + part for n, part in zip(lengths, parts, strict=True))
    )


def test_a_state_leaf_is_what_the_page_says() -> None:
    w, b = bytes([7]) * 32, bytes([8]) * 32
    by_hand = framed_by_hand(
        b"state", TASK, b"\0\0\0\0\0\0\1\0", BATCH, b"b", b, "gewicht_ß".encode(), w
    )
    expected = blake2b(by_hand, digest_size=32, person=b"hanse.state.v1").digest()
    assert state_leaf(TASK, 256, {"gewicht_ß": w, "b": b}, batch_digest=BATCH) == expected


def test_chains_are_what_the_page_says() -> None:
    leaf = bytes([9]) * 32
    start = blake2b(
        framed_by_hand(b"chain-start", TASK, PROGRAM, leaf),
        digest_size=32,
        person=b"hanse.chain.v1",
    ).digest()
    then = blake2b(
        framed_by_hand(b"chain", start, leaf), digest_size=32, person=b"hanse.chain.v1"
    ).digest()
    assert chain_start(TASK, PROGRAM, leaf) == start
    assert chain_next(start, leaf) == then
    assert trace_leaf(258, start) == b"\0\0\0\0\0\0\1\2" + start


def test_an_operator_leaf_is_what_the_page_says() -> None:
    a, b, out = (bytes([at]) * 32 for at in (4, 5, 6))
    by_hand = framed_by_hand(
        b"operator", b"\0" * 7 + b"\2", b"matmul", b"\0" * 7 + b"\1", a, b, out
    )
    assert operator_leaf(2, b"matmul", 1, input_digests=[a, b], output_digest=out) == by_hand


@repeatable
@given(
    digest_of_name=st.dictionaries(st.text(max_size=5), digests, min_size=1, max_size=5),
    data=st.data(),
)
def test_a_state_leaf_depends_on_all_that_it_commits_to_and_on_no_order(
    digest_of_name: dict[str, bytes], data: st.DataObject
) -> None:
    leaf = state_leaf(TASK, 3, digest_of_name, batch_digest=BATCH)
    shuffled = dict(data.draw(st.permutations(list(digest_of_name.items()))))
    assert state_leaf(TASK, 3, shuffled, batch_digest=BATCH) == leaf
    name = data.draw(st.sampled_from(sorted(digest_of_name)))
    others = [
        state_leaf(PROGRAM, 3, digest_of_name, batch_digest=BATCH),
        state_leaf(TASK, 4, digest_of_name, batch_digest=BATCH),
        state_leaf(TASK, 3, digest_of_name, batch_digest=TASK),
        state_leaf(TASK, 3, {**digest_of_name, name + "'": BATCH}, batch_digest=BATCH),
        state_leaf(
            TASK, 3, {n: d for n, d in digest_of_name.items() if n != name}, batch_digest=BATCH
        ),
        state_leaf(
            TASK, 3, {**digest_of_name, name: digest_of_name[name][::-1]}, batch_digest=BATCH
        ),
    ]
    is_palindrome = digest_of_name[name] == digest_of_name[name][::-1]
    assert (leaf in others[:-1]) is False
    assert (others[-1] == leaf) is is_palindrome


def test_a_chain_remembers_a_deviation_that_heals() -> None:
    honest = [bytes([at]) * 32 for at in range(1, 7)]
    healed = [honest[0], honest[1], b"x" * 32, *honest[3:]]
    traces = []
    for states in (honest, healed):
        chain = [chain_start(TASK, PROGRAM, states[0])]
        for leaf in states[1:]:
            chain.append(chain_next(chain[-1], leaf))
        traces.append(chain)
    assert [a == b for a, b in zip(honest, healed, strict=True)] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    assert [a == b for a, b in zip(*traces, strict=True)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_no_commitment_takes_a_digest_of_another_length(digest: bytes) -> None:
    with pytest.raises(ValueError, match="must be 32 bytes"):
        state_leaf(TASK, 0, {"w": digest}, batch_digest=BATCH)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        state_leaf(TASK, 0, {}, batch_digest=digest)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        chain_next(TASK, digest)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        chain_start(TASK, PROGRAM, digest)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        trace_leaf(0, digest)
    with pytest.raises(ValueError, match="must be 32 bytes"):
        operator_leaf(0, b"add", 1, input_digests=[digest], output_digest=TASK)
