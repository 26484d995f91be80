"""A fuzzer guided by coverage, which runs until it finds bytes that break a decoder.

Run it with `make fuzz`, or with `python -m tests.fuzz.guided CORPUS -max_total_time=60`; CORPUS is
a folder that collects what reaches new code. The first byte of an input chooses the decoder and,
from 128 on, puts the header that it expects before the rest, so that few runs end there.
`--planted` adds one that breaks on four certain bytes, to show that such things are found.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hanse.verification"]):
    from tests.fuzz.decoders import DECODERS, Decoder, examine

from tests.fuzz.seeds import seeds


@atheris.instrument_func
def read_planted(message: bytes) -> bytes:
    """Break on what chance alone would find once in 2^32 tries."""
    for found, wanted in zip(message, b"hans", strict=False):
        if found != wanted:
            return message
    if len(message) > 3:
        raise KeyError("planted")
    return message


def main() -> None:
    """Write the seeds into the corpus and hand over to libFuzzer."""
    decoders = list(DECODERS.values())
    if "--planted" in sys.argv:
        sys.argv.remove("--planted")
        decoders = [Decoder(read_planted, ValueError, bytes)]
    else:
        write_seeds(Path(sys.argv[1]))

    headers = [seeds()[name].partition(b"\0")[0] + b"\0" for name in DECODERS]

    def examine_one(message: bytes) -> None:
        if not message:
            return
        has_header, choice = divmod(message[0], 128)
        chosen = choice % len(decoders)
        examine(decoders[chosen], has_header * headers[chosen] + message[1:])

    atheris.Setup(sys.argv, examine_one)
    atheris.Fuzz()


def write_seeds(corpus: Path) -> None:
    """Give the fuzzer one valid message of each decoder to begin with."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, (name, valid) in enumerate(seeds().items()):
        assert list(DECODERS)[number] == name
        (corpus / f"seed-{name}").write_bytes(bytes([number]) + valid)
        (corpus / f"rest-{name}").write_bytes(bytes([128 + number]) + valid.partition(b"\0")[2])


if __name__ == "__main__":
    main()
