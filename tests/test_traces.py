"""Published traces: what is read, what is refused, and the statistics of the real files."""

from pathlib import Path

import numpy as np
import pytest

from hanse.scenarios.traces import Trace, TraceError, read_trace

ORIGINS = Path(__file__).parents[2] / "shared" / "data" / "azure_llm"
needs_origins = pytest.mark.skipif(
    not ORIGINS.is_dir(),
    reason="../shared/data is absent: NO REAL TRACE IS READ",
)

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
FIRST = "2023-11-16 18:15:46.6805900,374,44"
SECOND = "2023-11-16 18:15:50.9951690,396,109"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "calls.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_trace_starts_at_zero_and_keeps_its_gaps(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, HEADER, FIRST, SECOND))
    # 50.995169 s - 46.680590 s = 4.314579 s
    assert trace.arrival_us.tolist() == [0, 4_314_579]
    assert trace.context_tokens.tolist() == [374, 396]
    assert trace.generated_tokens.tolist() == [44, 109]
    assert trace.n_jobs == 2


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    header = "user,GeneratedTokens,TIMESTAMP,ContextTokens"
    trace = read_trace(written(tmp_path, header, "a,44,2023-11-16T18:15:46+00:00,374"))
    assert (trace.context_tokens[0], trace.generated_tokens[0]) == (374, 44)


def test_times_in_two_zones_are_compared_as_instants(tmp_path: Path) -> None:
    rows = ("2023-11-16 18:00:00+00:00,1,1", "2023-11-16 19:00:01+01:00,1,1")
    assert read_trace(written(tmp_path, HEADER, *rows)).arrival_us.tolist() == [0, 1_000_000]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((HEADER,), "calls.csv has a header and no rows"),
        (("",), "calls.csv has no column TIMESTAMP (its header has nothing)"),
        (
            ("TIMESTAMP,contexttokens,GeneratedTokens", FIRST),
            "no column ContextTokens; did you mean 'contexttokens'?",
        ),
        ((HEADER, FIRST, "2023-11-16 18:15:50,many,1"), "line 3: ContextTokens must be a whole"),
        ((HEADER, FIRST, "2023-11-16 18:15:50,1,1.5"), "line 3: GeneratedTokens must be a whole"),
        (
            (HEADER, "2023-11-16 18:15:50,1,-2"),
            "line 2: GeneratedTokens must be at least 0, got -2",
        ),
        ((HEADER, "yesterday,1,1"), "line 2: TIMESTAMP must be an ISO 8601 time, got 'yesterday'"),
        ((HEADER, SECOND, FIRST), "line 3: TIMESTAMP must not go back"),
        ((HEADER, FIRST, "2023-11-16 18:15:50,1"), "line 3: 2 fields are too few"),
    ],
)
def test_a_bad_trace_is_one_line_that_says_where(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TraceError) as caught:
        read_trace(written(tmp_path, *lines))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"there is no trace file .*absent\.csv"):
        read_trace(tmp_path / "absent.csv")


def test_a_folder_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "calls.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    for path in (tmp_path, binary):
        with pytest.raises(TraceError, match="cannot be read"):
            read_trace(path)


def cv_of(column: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    return float(column.std() / column.mean())


def statistics_of(trace: Trace) -> dict[str, float]:
    gaps = np.diff(trace.arrival_us)
    context, generated = np.log(trace.context_tokens), np.log(trace.generated_tokens)
    return {
        "rate": 1e6 / gaps.mean(),
        "cv": cv_of(gaps),
        "context_mu": context.mean(),
        "context_sigma": context.std(),
        "generated_mu": generated.mean(),
        "generated_sigma": generated.std(),
    }


# The published figures have three digits, so half of the last one is all that may differ.
@needs_origins
@pytest.mark.parametrize(
    ("name", "n_calls", "published"),
    [
        ("conv", 19_366, (5.53, 1.09, 6.63, 0.99, 5.02, 0.86)),
        ("code", 8_819, (2.57, 13.2, 7.00, 1.36, 2.79, 0.85)),
    ],
)
def test_real_traces_have_their_published_statistics(
    name: str, n_calls: int, published: tuple[float, ...]
) -> None:
    trace = read_trace(ORIGINS / f"AzureLLMInferenceTrace_{name}_2023.csv")
    measured = statistics_of(trace)
    half_digit = [0.005, 0.05 if name == "code" else 0.005, 0.005, 0.005, 0.005, 0.005]
    assert trace.n_jobs == n_calls
    for value, expected, tolerance in zip(measured.values(), published, half_digit, strict=True):
        assert abs(value - expected) <= tolerance * 1.01
