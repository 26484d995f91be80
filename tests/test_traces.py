"""Published traces: what is read, what is refused, and the statistics of the real files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.families import draw_batch
from hanse.scenarios.drawing.traces import Trace, TraceError, read_trace
from hanse.scenarios.running.plans import trace_digest
from hanse.scenarios.scenario import load

DATA = Path(__file__).parents[2] / "shared" / "data"
ORIGINS = DATA / "azure_llm"
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


# Tables of other origin: what each replaces, and what the real files hold.

MOONCAKE = ("timestamp_ms,input_length,output_length,n_blocks", "0,6758,500,14", "1500,20,3,1")
OPENB = (
    "name,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time",
    "late,2,1000,20,90,30.5",
    "none,0,0,5,50,5",
    "never,1,1000,6,60,",
    "early,1,460,10,40,15",
)
PHILLY = ("vc,arrival_s,gpus", "one,10.0,1", "one,20.5,8", "other,0.0,4")


def test_mooncake_calls_become_inference(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, *MOONCAKE))
    assert trace.family == "inference"
    assert trace.arrival_us.tolist() == [0, 1_500_000]
    assert (trace.context_tokens.tolist(), trace.generated_tokens.tolist()) == (
        [6758, 20],
        [500, 3],
    )
    replayed = draw_world(load("baseline"), 1, trace=trace).workload
    assert replayed.family == ("model_call", "batch", "inference")
    is_call = replayed.job_family == 2
    assert replayed.job_arrival_us[is_call].tolist() == [0, 1_500_000]
    # 20 / 2800 + 3 / 50 s
    assert replayed.stage_work_us[is_call[replayed.stage_job]].tolist()[1] == 67_143


def test_openb_pods_that_ran_on_accelerators_become_batch_jobs(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, *OPENB))
    assert trace.family == "batch"
    assert trace.arrival_us.tolist() == [0, 10_000_000]
    assert trace.n_units.tolist() == [1, 2]
    # 40 - 15 s and 90 - 30.5 s
    assert trace.duration_us.tolist() == [25_000_000, 59_500_000]
    replayed = draw_world(load("baseline"), 1, trace=trace).workload
    is_batch = (replayed.job_family == 1)[replayed.stage_job]
    assert replayed.stage_work_us[is_batch].tolist() == [25_000_000, 59_500_000, 59_500_000]
    is_call = replayed.job_family == 0
    drawn = draw_world(load("baseline"), 1).workload
    assert np.array_equal(
        replayed.job_arrival_us[is_call], drawn.job_arrival_us[drawn.job_family == 0]
    )


def test_philly_arrivals_are_brought_in_order_and_take_drawn_durations(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, *PHILLY))
    assert trace.arrival_us.tolist() == [0, 10_000_000, 20_500_000]
    assert trace.n_units.tolist() == [4, 1, 8]
    assert len(trace.duration_us) == 0
    tape = draw_batch(load("baseline"), 1, trace)
    assert tape.n_stages.tolist() == [4, 1, 8]
    assert len(set(tape.work_us[:4].tolist())) == 1
    assert len(tape.edge_to) == 0


def test_a_trace_may_begin_later(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, *PHILLY)).since(5)
    assert trace.arrival_us.tolist() == [5_000_000, 15_500_000]
    assert trace.n_units.tolist() == [1, 8]
    calls = read_trace(written(tmp_path, *MOONCAKE)).since(1)
    assert (calls.arrival_us.tolist(), calls.context_tokens.tolist()) == ([500_000], [20])
    with pytest.raises(TraceError, match=r"no job comes from 2 s on; the last comes at 0\.5 s"):
        calls.since(2)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("timestamp,input_length,output_length", "0,1,1"),
            "no column timestamp_ms; did you mean 'timestamp'? (its header has timestamp,",
        ),
        (
            ("name,num_gpu,creation_time,deletion_time", "a,1,0,9"),
            "no column scheduled_time",
        ),
        (("vc,arrival,gpus", "a,0,1"), "no column arrival_s; did you mean 'arrival'?"),
        (
            ("runtime", "3.0"),
            "no column TIMESTAMP (its header has runtime), nor is it any other table that can be",
        ),
        ((PHILLY[0], "a,0.0,0"), "line 2: gpus must be at least 1, got 0"),
        ((PHILLY[0], "a,soon,1"), "line 2: arrival_s must be a number, got 'soon'"),
        ((PHILLY[0], "a,inf,1"), "line 2: arrival_s must be a number, got 'inf'"),
        ((OPENB[0], *OPENB[2:4]), "has no job that took an accelerator"),
        ((*MOONCAKE, "3,1,1,1"), "line 4: timestamp_ms must not go back, got 3 after 1500"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_the_column(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TraceError) as caught:
        read_trace(written(tmp_path, *lines))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_traces_of_different_content_have_different_digests(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, *PHILLY))
    other = replace(trace, n_units=trace.n_units + 1)
    digests = {trace_digest(one) for one in (trace, other)}
    assert len(digests) == 2
    assert all("3 jobs of batch" in str(one) for one in digests)


@pytest.mark.parametrize(
    ("file", "family", "n_jobs", "n_units"),
    [
        ("mooncake/conversation_trace.csv", "inference", 12_031, None),
        ("mooncake/synthetic_trace.csv", "inference", 3_993, None),
        # 8,152 pods, 1,088 without accelerators, 897 never scheduled, of which some are both
        ("alibaba_gpu/v2023_openb_pod_list_default.csv", "batch", 6_203, {1, 2, 4, 8}),
        ("philly_gavel/philly_vc_arrivals_gpus.csv", "batch", 15_264, None),
    ],
)
def test_real_tables_are_read_whole(
    file: str, family: str, n_jobs: int, n_units: set[int] | None
) -> None:
    if not (DATA / file).is_file():
        pytest.skip(f"../shared/data/{file} is absent: NO REAL TRACE IS READ")
    trace = read_trace(DATA / file)
    assert (trace.family, trace.n_jobs) == (family, n_jobs)
    assert (np.diff(trace.arrival_us) >= 0).all()
    if n_units is not None:
        assert set(trace.n_units.tolist()) == n_units
    draw_world(load("baseline"), 1, trace=trace)


@pytest.mark.parametrize(
    "file", ["philly_gavel/philly_runtime_seconds.csv", "servegen/client_summary.csv"]
)
def test_real_tables_that_are_no_traces_are_refused(file: str) -> None:
    if not (DATA / file).is_file():
        pytest.skip(f"../shared/data/{file} is absent: NO REAL TABLE IS REFUSED")
    with pytest.raises(TraceError, match="has no column"):
        read_trace(DATA / file)
