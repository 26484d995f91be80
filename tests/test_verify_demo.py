"""The story of `hanse verify demo`: it is what happened."""

import re

import pytest

from hanse.scenarios import cli
from hanse.scenarios.commands.verify_demo import Fraud, verify_demo
from hanse.verification.programs import SMALL, training


def without_times(story: str) -> str:
    """Leave out what was measured, and the line breaks that depend on it."""
    return re.sub(r"[\d.,]+ m?s\b|1/[\d,]+", "#", " ".join(story.split()))


@pytest.mark.parametrize("seed", [0, 3])
def test_the_cheat_that_is_found_is_the_cheat_there_was(seed: int) -> None:
    story = " ".join(verify_demo(seed).split())
    program = training(SMALL, n_steps=1_024, seed=seed)
    fraud = Fraud.drawn(program, seed)
    name = program.operators[fraud.operator].name
    assert f"in step {fraud.step + 1}, operator {name}, it adds 1" in story
    assert f"What is left is step {fraud.step + 1}, operator {name}, which reads" in story
    assert "finds the solver guilty: wrong_output" in story


def test_every_question_of_bisection_is_told_and_the_money_sums_to_zero() -> None:
    story = verify_demo(1)
    rounds = re.findall(r"^ +(\d+)  [#.|]{32}  at +\d+: (agree|differ)$", story, re.MULTILINE)
    counted = re.search(r"questions of bisection +(\d+)", story)
    assert counted is not None
    assert [int(number) for number, _ in rounds] == [*range(1, int(counted[1]) + 1)]
    # log2 of 16 stretches, 64 steps and 13 operators, rounded up.
    assert len(rounds) <= 4 + 6 + 4
    account = r"^  (buyer|solver|challenger|treasury) +([+-][\d.]+) USD$"
    settled = re.findall(account, story, re.MULTILINE)
    assert [name for name, _ in settled] == ["buyer", "solver", "challenger", "treasury"]
    assert sum(float(amount) for _, amount in settled) == 0.0
    assert dict(settled)["solver"] == "-4.00"


def test_the_story_fits_a_terminal_and_repeats() -> None:
    first, second = verify_demo(0), verify_demo(0)
    assert max(map(len, first.splitlines())) <= 80
    assert without_times(first) == without_times(second)


def test_the_command_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "demo", "--seed", "2"]) == 0
    assert "Settlement" in capsys.readouterr().out
    assert cli.main(["verify"]) == cli.BAD_INPUT
    assert "ACTION" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "demo", "--seed"],
        ["run", "baseline", "--seed"],
        ["compare", "baseline", "--seeds"],
    ],
)
def test_a_seed_beyond_64_bits_is_bad_input_and_no_crash(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "9" * 20]) == cli.BAD_INPUT
    assert "must be at most" in capsys.readouterr().err
