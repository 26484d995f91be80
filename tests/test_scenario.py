"""Scenarios: what may be asked, what is refused and how, and that every parameter matters."""

import pickle
from copy import deepcopy
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.market.crossings import CrossingCosts, crossing_tables
from hanse.market.terms import ON_FINALITY, ON_RECEIPT
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.families import FAMILIES
from hanse.scenarios.parameters import Parameter
from hanse.scenarios.scenario import (
    Scenario,
    ScenarioError,
    Value,
    describe_parameters,
    load,
    names,
)

PARAMETERS = {one.key: one for one in describe_parameters()}
NUMERIC = [
    key
    for key, one in PARAMETERS.items()
    if isinstance(one.default, int | float) and not isinstance(one.default, bool)
]


def file_in(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


OTHER_LISTS: dict[str, Value] = {
    "fleet.classes": ("a", "b"),
    "fleet.class_shares": (0.4, 0.6),
    "fleet.class_regions": ("anywhere", "nl-ams"),
    "resources.capped_regions": ("jp-tyo",),
    "load.pipeline_regions": ("de-fra", "sg-sin", "nl-ams"),
    "load.pipeline_classes": ("b200", "any", "any"),
    "shock.cable_from": ("de-fra", "nl-ams"),
    "shock.cable_to": ("ae-dxb", "in-bom"),
}


OTHER_WORDS = {"control.hub": "jp-tyo", "shock.down_class": "h100"}


def another_value(one: Parameter) -> Value:
    """Pick an allowed value that differs from the default."""
    if isinstance(one.default, bool):
        return not one.default
    if isinstance(one.default, str):
        return OTHER_WORDS.get(one.key) or one.choices[-1]
    if isinstance(one.default, tuple) and one.choices:
        return one.choices[:1]
    if isinstance(one.default, tuple):
        return OTHER_LISTS.get(one.key) or tuple(0.4 * (n + 1) for n in range(len(one.default)))
    assert one.low is not None
    assert one.high is not None
    return one.low if one.low != one.default else min(one.low + 1, one.high)


def test_the_library_has_the_baseline_and_its_limits() -> None:
    assert {"baseline", "daily", "frictionless", "scarce", "slack"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_every_scenario_of_the_library_is_a_titled_question(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert scenario.title
    assert "?" in scenario.question
    assert list(scenario.values) == list(PARAMETERS)


def test_the_baseline_is_the_defaults() -> None:
    assert load("baseline").values == {key: one.default for key, one in PARAMETERS.items()}


@pytest.mark.parametrize("one", PARAMETERS.values(), ids=PARAMETERS)
def test_every_parameter_is_documented_and_its_default_allowed(one: Parameter) -> None:
    assert one.check(one.default) == one.default
    assert one.grade in {"A", "B", "C", "D", "E", "M"}
    assert one.unit
    assert one.source
    assert one.doc.endswith(".")


def test_a_number_without_evidence_says_that_it_is_assumed() -> None:
    silent = [
        one.key
        for one in PARAMETERS.values()
        if one.grade == "E"
        if not any(word in one.source for word in ("assumed", "swept"))
    ]
    assert silent == []


def test_parameters_live_in_sixteen_sections() -> None:
    sections = {key.partition(".")[0] for key in PARAMETERS}
    worlds = {"fleet", "load", "control", "crossing", "verification", "resources", "law", "failure"}
    assert sections == worlds | {
        "shock",
        "measurement",
        "institutions",
        "governance",
        "settlement",
        "reporting",
        "emission",
        "forward",
    }


# Values that only matter beside another one.
TWO_CLASSES: dict[str, Value] = {
    "fleet.classes": ("h100", "b200"),
    "fleet.class_shares": (0.5, 0.5),
}
CUT: dict[str, Value] = {
    "shock.cable_from": ("uk-lon",),
    "shock.cable_to": ("in-bom",),
    "shock.cable_share": 1.0,
}
BESIDE: dict[str, dict[str, Value]] = {
    "load.daily_kappa": {"load.daily_profile": True},
    "load.daily_peak_hour": {"load.daily_profile": True},
    "fleet.classes": TWO_CLASSES,
    "fleet.class_shares": TWO_CLASSES,
    "fleet.class_regions": TWO_CLASSES,
    "load.pipeline_classes": TWO_CLASSES,
    "load.multimodal_levels": {"load.multimodal_alignment": "joint"},
    "load.multimodal_interaction_order": {"load.multimodal_alignment": "joint"},
    "load.multimodal_align_s": {"load.multimodal_alignment": "joint"},
    "load.step_elasticity": {"load.decode_tokens_per_gpu_s": 500.0},
    "load.agentic_repeat_share": {"load.agentic_jobs": 500, "load.agentic_agents_max": 1},
    **{
        f"load.{family}_deadline_multiple": {f"load.{family}_deadline_s": 0.001}
        for family in FAMILIES[2:]
    },
    "load.tool_p95_s": {"load.tool_median_s": 0.001},
    "fleet.neocloud_usd_high": {"fleet.neocloud_usd_low": 0.0},
    "control.outages_per_day": {"measurement.horizon_s": 86_400.0},
    "control.outage_s": {"control.outages_per_day": 1_000.0},
    "crossing.revocations_per_day": {"measurement.horizon_s": 86_400.0},
    "failure.breakdowns_per_day": {"measurement.horizon_s": 86_400.0},
    "failure.breakdown_s": {"failure.breakdowns_per_day": 100.0},
    "failure.policy_changes_per_day": {"measurement.horizon_s": 864_000.0},
    "failure.policy_lag_s": {"failure.policy_changes_per_day": 1_000.0},
    "failure.bad_changes_per_day": {"measurement.horizon_s": 86_400.0},
    "failure.blast_share": {"failure.bad_changes_per_day": 1_000.0},
    "failure.bad_change_s": {"failure.bad_changes_per_day": 1_000.0},
    "resources.capped_regions": {"resources.power_cap_share": 0.5},
    "fleet.sovereign_jurisdiction": {"fleet.sovereign_nodes": 9},
    "fleet.sovereign_nodes": {"fleet.sovereign_jurisdiction": "EU"},
    "load.foreign_headquarters_share": {"law.remote_access": "by-headquarters"},
    "verification.minimum_stake_nodes": {"verification.minimum_stake_nodes": 4},
    "law.chip_rule": {"fleet.nodes": 2_000},
    **{
        f"law.chip_{name}_share": {"law.chip_rule": rule, "fleet.nodes": 2_000}
        for name, rule in (
            ("delivered", "tiers-2025"),
            ("country", "tiers-2025"),
            ("own_design", "tiers-2025"),
            ("licence", "case-by-case-2026"),
        )
    },
    "law.egress_cost_usd_per_gb": {"law.egress_rule": "at-cost"},
    "law.egress_switching_share": {"law.egress_rule": "switching-free"},
    **{
        f"fleet.{name}": {"fleet.egress_pricing": "owners"}
        for name in (
            "hyperscaler_egress_scale",
            "neocloud_egress_usd_per_gb",
            "stored_share",
        )
    },
    "shock.down_class": {**TWO_CLASSES, "shock.down_share": 0.5},
    "shock.down_share": {"shock.down_owner": "google"},
    "shock.down_from_s": {"shock.down_owner": "google"},
    "shock.down_s": {"shock.down_owner": "google"},
    "shock.surge_from_s": {"shock.surge_jobs": 9},
    "shock.surge_s": {"shock.surge_jobs": 9},
    "shock.cable_from": CUT,
    "shock.cable_to": CUT,
    "shock.cable_share": {**CUT, "shock.cable_share": 0.0},
}


# What agents go by between runs, or vote by, tokens that are handed out beside them, and what is
# traded forward before them reach no single world; tests/test_seasons.py, tests/test_capture.py,
# tests/test_emissions.py and tests/test_speculators.py try each.
BEYOND_RUNS = ("institutions.", "governance.", "emission.", "forward.")


@pytest.mark.parametrize("key", [key for key in PARAMETERS if not key.startswith(BEYOND_RUNS)])
def test_every_parameter_reaches_the_world(key: str) -> None:
    small: dict[str, Value] = {"load.model_calls": 150, "load.batch_jobs": 60}
    few: dict[str, Value] = {f"load.{family}_jobs": 9 for family in FAMILIES[2:]}
    small |= {"load.code_arrival_cv": 1.0, "load.agentic_jobs": 90}
    scenario = load("baseline").replace(few | small | BESIDE.get(key, {}))
    changed = scenario.replace({key: another_value(PARAMETERS[key])})
    assert draw_world(scenario, 1).digest() != draw_world(changed, 1).digest()


def test_release_rules_are_those_of_the_terms() -> None:
    assert PARAMETERS["verification.release"].choices == (ON_RECEIPT, ON_FINALITY)


def test_frictionless_leaves_no_cost_at_a_crossing() -> None:
    world = draw_world(load("frictionless"), 1)
    tables = crossing_tables(world.geography, world.crossing)
    assert {field.name: getattr(tables, field.name).max() for field in fields(tables)} == {
        field.name: 0 for field in fields(tables)
    }


def test_frictionless_leaves_no_cost_of_control_or_of_trust() -> None:
    world = draw_world(load("frictionless"), 1)
    terms = world.terms
    assert terms.control_delay_scale == 0
    assert terms.clearing_interval_us == terms.refresh_interval_us == 0
    assert terms.service_posted_us == terms.service_welfare_us == terms.service_message_us == 0
    assert terms.service_edge_us == terms.service_solve_us == 0
    assert terms.receipt_sign_us == terms.receipt_verify_us == terms.settlement_us == 0
    assert terms.temptation_share == terms.audit_probability == 0
    assert terms.capital_rate_per_year == terms.invoice_lag_us == 0
    assert world.workload.stage_context_tokens.max() == 0


def test_round_trip_scale_is_the_only_thing_that_makes_waiting_for_state_vanish() -> None:
    world = draw_world(load("baseline").replace({"crossing.round_trip_scale": 0.5}), 1)
    whole = draw_world(load("baseline"), 1)
    half = crossing_tables(world.geography, world.crossing).state_rtt_us
    assert abs(2 * half - crossing_tables(whole.geography, whole.crossing).state_rtt_us).max() <= 1
    assert world.crossing.round_trip_scale == 0.5
    assert "round_trip_scale" in {field.name for field in fields(CrossingCosts)}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "load.modelcalls=1",
            "unknown parameter 'load.modelcalls'; did you mean 'load.model_calls",
        ),
        ("nodes=1", "unknown parameter 'nodes'; did you mean 'fleet.nodes'?"),
        ("load.model_calls", "a setting must read key=value, got 'load.model_calls'"),
        ("load.model_calls=many", "load.model_calls must be a number (jobs), got 'many'"),
        ("load.model_calls=1.5", "load.model_calls must be a whole number (jobs), got 1.5"),
        ("fleet.nodes=0", "fleet.nodes must be at least 1 (nodes), got 0"),
        ("measurement.horizon_s=0", "measurement.horizon_s must be at least 1 (s), got 0"),
        ("measurement.horizon_s=nan", "measurement.horizon_s must be at least 1 (s), got nan"),
        ("resources.active_w=inf", "resources.active_w must be at most 100,000 (W), got inf"),
        ("load.hold_share=1.2", "load.hold_share must be at most 1 (share), got 1.2"),
        ("load.daily_profile=yes", "load.daily_profile must be true or false, got 'yes'"),
        ("control.hub=us-vaa", "control.hub must be auto or a region, got 'us-vaa'; did you mean"),
        ("verification.release=recipt", "one of receipt, finality, got 'recipt'; did you mean"),
        ("fleet.class_shares=0.5,0.5", "must have one share per class (1), got 2"),
        ("fleet.class_shares=0.9", "fleet.class_shares must sum to 1, got 0.9"),
        ("fleet.class_shares=", "fleet.class_shares must be a number (share), got ''"),
        ("load.tool_median_s=9", "load.tool_median_s must be at most load.tool_p95_s (2.5), got 9"),
    ],
)
def test_a_refused_setting_names_key_value_and_bound(setting: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load("baseline").with_settings([setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fleet_smaller_than_its_classes_is_refused() -> None:
    settings = ["fleet.nodes=1", "fleet.classes=h100,b200", "fleet.class_shares=0.5,0.5"]
    with pytest.raises(ScenarioError, match=r"fleet\.nodes must be at least 2, one per class"):
        load("baseline").with_settings(settings)


def test_classes_of_the_same_name_are_refused() -> None:
    settings = ["fleet.classes=h100,h100", "fleet.class_shares=0.5,0.5"]
    with pytest.raises(ScenarioError, match=r"fleet\.classes must differ, got h100, h100"):
        load("baseline").with_settings(settings)


@given(key=st.sampled_from(NUMERIC), share=st.floats(0, 1))
def test_a_setting_reads_as_the_value_that_it_shows(key: str, share: float) -> None:
    one = PARAMETERS[key]
    assert one.low is not None
    assert one.high is not None
    value = one.low + share * (one.high - one.low)
    value = round(value) if isinstance(one.default, int) else value
    assert one.parse(f" {value!r} ") == one.check(value)


@given(key=st.sampled_from(NUMERIC), excess=st.floats(1e-3, 1e6))
def test_nothing_out_of_bounds_is_accepted(key: str, excess: float) -> None:
    one = PARAMETERS[key]
    assert one.low is not None
    assert one.high is not None
    for value in (one.low - excess, one.high + max(excess, one.high * 1e-9)):
        with pytest.raises(ScenarioError, match=key):
            one.check(value)


def test_settings_apply_in_order_and_leave_the_original_alone() -> None:
    baseline = load("baseline")
    changed = baseline.with_settings(["load.model_calls=1e3", "load.model_calls=2000"])
    assert changed.count("load.model_calls") == 2000
    assert baseline.count("load.model_calls") == 4600
    assert changed.title == baseline.title


def test_a_scenario_cannot_be_changed_in_place() -> None:
    with pytest.raises(TypeError):
        load("baseline").values["load.model_calls"] = 1  # type: ignore[index]


def test_a_scenario_survives_pickling_and_copying() -> None:
    scenario = load("scarce")
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    assert deepcopy(scenario) == scenario
    assert len({scenario, load("scarce")}) == 1


def test_an_unknown_scenario_comes_with_its_near_miss() -> None:
    with pytest.raises(ScenarioError, match="unknown scenario 'basline'; did you mean 'baseline'"):
        load("basline")


def test_a_file_extends_the_library_or_a_neighbour(tmp_path: Path) -> None:
    file_in(tmp_path, 'extends = "slack"\n[fleet]\nnodes = 20\n', "small.toml")
    path = file_in(tmp_path, 'question = "Why?"\nextends = "small.toml"\n[load]\nbuyers = 3\n')
    scenario = load(path)
    assert scenario.name == "mine"
    assert (scenario.title, scenario.question) == (load("slack").title, "Why?")
    assert scenario.count("fleet.nodes") == 20
    assert scenario.count("load.buyers") == 3
    assert scenario.number("fleet.occupied_share") == 0.2
    assert load(str(path)) == scenario


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('regime = "market"', "mine.toml: unknown parameter 'regime'"),
        ("[load]\nbuyer = 3", "mine.toml: unknown parameter 'load.buyer'; did you mean"),
        ("[load]\nbuyers = 0", "mine.toml: load.buyers must be at least 1 (buyers), got 0"),
        ("title = 3", "mine.toml: title must be text, got 3"),
        ('extends = "mine.toml"', "mine.toml extends itself"),
        ('titel = "Mine"', "mine.toml: unknown heading 'titel'; did you mean 'title'?"),
        ('extends = "slak"', "mine.toml: extends: unknown scenario 'slak'; did you mean 'slack'?"),
        ("[load", "mine.toml cannot be read"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(file_in(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"there is no scenario file .*absent\.toml"):
        load(tmp_path / "absent.toml")


def test_a_scenario_made_by_hand_takes_defaults() -> None:
    scenario = Scenario(name="x", title="X", question="?", values={"fleet.nodes": 3})
    assert scenario.count("fleet.nodes") == 3
    assert scenario.text("control.hub") == "auto"


def test_a_cap_on_a_region_that_does_not_exist_names_the_near_miss() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'jp-tyo'"):
        load("baseline").replace({"resources.capped_regions": ("jp-tyoo",)})


def test_only_the_regions_that_are_named_have_a_cap() -> None:
    capped = load("baseline").replace(
        {"resources.power_cap_share": 0.5, "resources.capped_regions": ("jp-tyo", "us-va")}
    )
    geography = draw_world(capped, 1).geography
    chosen = {"jp-tyo", "us-va"}
    assert {
        r for r, c in zip(geography.region, geography.power_cap_share, strict=True) if c < 1
    } == chosen
