"""What signing, hashing, proving and drawing cost, and how they compare with checking a signature.

Run it with `python -m benchmarks.bench_cryptography`. Everything runs in one process and in turns,
so that a busy machine slows all alike; read the ratios rather than the times. The median is over
rounds, the range is from the tenth to the ninetieth of a hundred.
"""

import argparse
import gc
from collections.abc import Callable
from hashlib import blake2b
from time import perf_counter
from typing import Final

import numpy as np

from hanse.verification.commitments import is_included, tree_over
from hanse.verification.keys import Signer, is_valid_signature
from hanse.verification.lottery import LOTTERY_IS_VRF, prove, public_key_of, verify
from hanse.verification.messages import BisectMove, encode_message, read_message, sign_message
from hanse.verification.receipts import NO_RECEIPT, WorkReceipt, read_signed_receipt, sign

SIGNER: Final = Signer(1, 1)
SECRET: Final = bytes(range(32))
DIGEST: Final = bytes(32)
N_LEAVES: Final = 1024
MEGABYTE: Final = 1 << 20
YARDSTICK: Final = "verify a signature over 256 bytes"

RECEIPT: Final = WorkReceipt(
    task_id=DIGEST,
    program_digest=DIGEST,
    output_digest=DIGEST,
    solver_public_key=SIGNER.public_key,
    region=1,
    started_us=1,
    ended_us=2,
    work_us=1,
    sequence=0,
    previous_receipt_digest=NO_RECEIPT,
)
MOVE: Final = BisectMove(
    dispute_id=DIGEST,
    sender_public_key=SIGNER.public_key,
    round=1,
    index=512,
    chain=DIGEST,
    inclusion_proof=(DIGEST,) * 10,
)


def main() -> None:
    """Time every operation in turns and print medians, ranges and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    todo = operations()
    for operation in todo.values():
        operation()
    gc.disable()
    taken_us = {name: np.empty(rounds) for name in todo}
    for at in range(rounds):
        for name, operation in todo.items():
            started = perf_counter()
            operation()
            taken_us[name][at] = (perf_counter() - started) * 1e6
    print(f"{rounds} rounds: median, 10th to 90th of a hundred; times {YARDSTICK!r}, median\n")
    for name, each in taken_us.items():
        low, middle, high = np.quantile(each, [0.1, 0.5, 0.9])
        ratio = np.median(each / taken_us[YARDSTICK])
        print(f"{name:44} {middle:9.1f} us  {low:8.1f} to {high:8.1f}  {ratio:7.2f}x")


def operations() -> dict[str, Callable[[], object]]:
    """Prepare what each operation works on, so that it alone is timed."""
    message = RECEIPT.canonical_bytes()
    signature = SIGNER.signature_of(message)
    receipt_wire = sign(RECEIPT, SIGNER).to_bytes()
    move_wire = sign_message(MOVE, SIGNER).to_bytes()
    megabyte = bytes(MEGABYTE)
    leaves = [at.to_bytes(8, "big") + DIGEST for at in range(N_LEAVES)]
    tree = tree_over(leaves)
    proof = tree.inclusion_proof(517)
    found: dict[str, Callable[[], object]] = {
        YARDSTICK: lambda: is_valid_signature(SIGNER.public_key, message, signature),
        "sign 256 bytes": lambda: SIGNER.signature_of(message),
        "write a receipt": RECEIPT.canonical_bytes,
        "read a signed receipt": lambda: read_signed_receipt(receipt_wire),
        "write a move with 10 hashes": lambda: encode_message(MOVE),
        "read a signed move with 10 hashes": lambda: read_message(BisectMove, move_wire),
        "hash a receipt (BLAKE2b)": RECEIPT.digest,
        "hash 1 MiB (BLAKE2b)": lambda: blake2b(megabyte, digest_size=32).digest(),
        "build a tree over 1,024 leaves": lambda: tree_over(leaves),
        "prove inclusion, tree at hand": lambda: tree.inclusion_proof(517),
        "check inclusion, 10 hashes": lambda: is_included(
            leaves[517], 517, N_LEAVES, proof=proof, root=tree.root
        ),
        "prove consistency, tree at hand": lambda: tree.consistency_proof(517),
    }
    if LOTTERY_IS_VRF:
        public_key, drawn = public_key_of(SECRET), prove(SECRET, message)
        found["draw: prove (ECVRF)"] = lambda: prove(SECRET, message)
        found["draw: verify (ECVRF)"] = lambda: verify(public_key, message, drawn)
    return found


if __name__ == "__main__":
    main()
