"""Pictures: they show the numbers of the tables, on scales that let rows be compared."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from hanse.market.regime import ladder
from hanse.scenarios.experiment import compare
from hanse.scenarios.figures import draw_pictures
from hanse.scenarios.pictures import Picture
from hanse.scenarios.results import Results
from hanse.scenarios.studies.price_maps import draw_price_maps
from hanse.scenarios.studies.price_study import PLANNER, PriceStudy, draw_study_map
from tests.small_runs import broken_rung, tiny

REGION = pd.DataFrame(
    {"longitude": [-80.0, 5.0, 9.0, 100.0], "latitude": [40.0, 52.0, 50.0, 1.0]},
    index=["east", "north", "middle", "south"],
)


@pytest.fixture(scope="module")
def results() -> Results:
    """Walk the ladder on two worlds."""
    return compare(tiny(), seeds=range(2), workers=1).results


@pytest.fixture(scope="module")
def pictures(results: Results) -> dict[str, Picture]:
    """Draw every figure once."""
    return {picture.name: picture for picture in draw_pictures(results)}


def dots(figure: Figure) -> list[PathCollection]:
    """List the dots of a figure that have a value."""
    found = [c for axis in figure.axes for c in axis.collections if isinstance(c, PathCollection)]
    return [c for c in found if c.get_array() is not None]


def words(figure: Figure) -> list[str]:
    """List what is written in the panels of a figure."""
    return [text.get_text().strip() for axis in figure.axes for text in axis.texts]


def headings(figure: Figure) -> list[str]:
    """List the first lines beside the rows of maps."""
    labels = [axis.get_ylabel() for axis in figure.axes]
    return [label.split("\n")[0] for label in labels if "latitude" in label]


def test_all_rows_of_a_price_map_share_one_scale_and_name_their_prices() -> None:
    dear = pd.Series({"east": 2.0, "north": 11.0, "south": 4.0})
    cheap = pd.Series({"east": 1.0, "north": 1.5, "middle": 1.25, "south": 1.0})
    figure = draw_price_maps(REGION, {"dear": dear, "cheap": cheap})
    assert figure is not None
    assert {collection.get_clim() for collection in dots(figure)} == {(1.0, 11.0)}
    values = np.concatenate([np.asarray(collection.get_array()) for collection in dots(figure)])
    assert sorted(values.tolist()) == sorted([*dear, *cheap])
    # What sold nothing has its name, and no price and no colour.
    assert words(figure) == [
        *("east 2.00", "north 11.00", "middle", "south 4.00"),
        *("east 1.00", "north 1.50", "middle 1.25", "south 1.00"),
    ]
    assert headings(figure) == ["dear", "cheap"]
    assert [axis.get_xlabel() for axis in figure.axes][-1].endswith("one scale for all rows")


def test_a_map_without_any_price_is_not_drawn() -> None:
    assert draw_price_maps(REGION, {"nothing": pd.Series(dtype=float)}) is None


def test_the_page_maps_the_ends_of_each_way_of_pricing(pictures: dict[str, Picture]) -> None:
    # Rungs 1 to 5 pay posted prices, 6 to 8 locational ones.
    expected = [ladder[k].title for k in (0, 4, 5, 7)]
    assert headings(pictures["price-map"].figure) == expected


def test_a_rung_that_failed_leaves_its_row_of_the_map_hollow() -> None:
    rungs = (ladder[2], broken_rung())
    results = compare(tiny(), seeds=(0,), regimes=rungs, workers=1).results
    (picture,) = [one for one in draw_pictures(results) if one.name == "price-map"]
    assert headings(picture.figure) == [rung.title for rung in rungs]
    assert sum(" " in word for word in words(picture.figure)) == len(
        set(results.frame("prices")["region"])
    )


def test_the_picture_of_debts_has_the_numbers_of_the_table(
    results: Results, pictures: dict[str, Picture]
) -> None:
    debt = results.frame("debt")
    by_title = {axis.get_title(loc="left"): axis for axis in pictures["debts"].figure.axes}
    axis = by_title["model_call: control core-seconds"]
    rows = [label.get_text() for label in axis.get_yticklabels()]
    shown = np.asarray(axis.images[0].get_array())
    here = debt[(debt["family"] == "model_call") & (debt["resource"] == "core")]
    accrued = here[(here["obligation"] == "undecided request") & (here["quantity"] == "accrual")]
    mean = accrued.groupby("regime")["value"].mean()
    expected = [mean[rung.name] for rung in ladder]
    assert min(expected) > 0
    assert shown[rows.index("undecided request: accrued")] == pytest.approx(expected)
    assert not [row for row in rows if "paid" in row or "count" in row]


def test_only_audits_owe_accelerator_time_for_results(pictures: dict[str, Picture]) -> None:
    axes = [a for a in pictures["debts"].figure.axes if "GPU-seconds" in a.get_title(loc="left")]
    assert axes
    for axis in axes:
        rows = [label.get_text() for label in axis.get_yticklabels()]
        unverified = [k for k, row in enumerate(rows) if row.startswith("unverified result")]
        shown = np.asarray(axis.images[0].get_array())[unverified]
        assert (shown[:, :-1] == 0).all()
        assert (shown[:, -1] > 0).all()


def test_every_kind_of_obligation_is_pictured_at_the_world_s_prices(
    results: Results, pictures: dict[str, Picture]
) -> None:
    by_title = {axis.get_title(loc="left"): axis for axis in pictures["debts"].figure.axes}
    axis = by_title["model_call: mean stock at the world's prices, USD"]
    rows = [label.get_text() for label in axis.get_yticklabels()]
    debt = results.frame("debt")
    here = debt[(debt["family"] == "model_call") & (debt["quantity"] == "mean_stock_usd")]
    # One obligation may be owed of two resources; a mean over both would be worth nothing.
    total = here.groupby(["obligation", "regime", "seed"])["value"].sum()
    mean = total.groupby(["obligation", "regime"]).mean().unstack()
    shown = pd.DataFrame(np.asarray(axis.images[0].get_array()), rows, [r.name for r in ladder])
    kept = mean[mean.max(axis=1) > 0]
    assert set(rows) == set(kept.index)
    assert np.allclose(shown.loc[kept.index, kept.columns], kept)


def test_the_map_of_a_study_ends_with_the_planner() -> None:
    places = pd.DataFrame(
        {
            "rung": [PLANNER, "market", PLANNER, "central"],
            "region": ["east", "east", "north", "north"],
            "usd_per_gpu_hour": [1.0, 2.0, 3.0, 4.0],
        }
    )
    none = pd.DataFrame()
    region = REGION.rename_axis("region").reset_index()
    study = PriceStudy(premiums=none, quality=none, places=places, regions=region)
    figure = draw_study_map(study)
    assert figure is not None
    assert headings(figure) == ["market", "central", PLANNER]
    assert {collection.get_clim() for collection in dots(figure)} == {(1.0, 4.0)}
