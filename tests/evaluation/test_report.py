"""The table of the report and the paper's figures."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from avexp_tf import errors
from avexp_tf.data import condition as conditions_lib
from avexp_tf.evaluation import document
from avexp_tf.evaluation import figure_file
from avexp_tf.evaluation import figures
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import report
from avexp_tf.evaluation import sweep
from avexp_tf.evaluation import sweep_result as sweep_results


def results_of(models, conditions, train_seeds=(0,), loss_seeds=(1, 2), optimum=0.9):
    """CCC that can be told from its row: 0.1 per seed on top of 1 - p."""
    rows = [
        {
            "model": model,
            "train_seed": train_seed,
            "modality": condition.modality,
            "pattern": condition.pattern_label,
            "p": condition.p,
            "mean_burst": condition.mean_burst or np.nan,
            "loss_seed": loss_seed,
            "target": target,
            "ccc": (1 - condition.p) / 2 + 0.1 * train_seed + 0.01 * loss_seed + shift,
            "optimum": optimum,
            "n_ticks": 100,
        }
        for model, train_seed, (condition, loss_seed), (target, shift) in (
            itertools.product(
                models,
                train_seeds,
                sweep.sweep_of(conditions, loss_seeds),
                (("valence", 0.0), ("arousal", 0.2)),
            )
        )
    ]
    return pd.DataFrame(rows, columns=list(sweep_results.RESULT_COLUMNS))


PROTOCOL = protocol.test_conditions()


def test_the_table_has_every_model_at_every_point():
    results = results_of(protocol.RECIPES, PROTOCOL)
    table = report.point_table(results)
    assert list(table.columns) == [
        "lost",
        "Baseline",
        "Clip-Zero",
        "Frame-Zero",
        "Frame-Repeat",
        "Video only",
        "Audio only",
        "Best possible",
    ]
    assert len(table) == 25
    assert table["lost"][0] == "nothing lost"
    assert table["lost"][1] == "audio Clip-Zero p=1" or "video Clip-Zero p=1"
    assert table["Baseline"][0] == "0.510 / 0.710"
    assert (table["Best possible"] == "0.900 / 0.900").all()
    row = table[table["lost"] == "video Frame-Zero p=0.95"].iloc[0]
    # The mean of both loss seeds: 0.025 + 0.015.
    assert row["Frame-Zero"] == "0.040 / 0.240"


def test_seeds_are_averaged_and_what_is_unknown_is_a_dash():
    results = results_of(["mine"], PROTOCOL[:1], (0, 2), (1,), optimum=np.nan)
    results.loc[results["target"] == "arousal", "ccc"] = np.nan
    table = report.point_table(results)
    assert table.to_dict("list") == {"lost": ["nothing lost"], "mine": ["0.610 / -"]}


def test_bursts_are_told_apart():
    conditions = protocol.parse_conditions(
        ["video:gilbert_elliott:0.3:4", "video:gilbert_elliott:0.3:12:repeat"]
    )
    table = report.point_table(results_of(["baseline"], conditions))
    assert list(table["lost"]) == [
        "nothing lost",
        "video bursts of zeros p=0.3, mean 4 ticks",
        "video bursts of repeats p=0.3, mean 12 ticks",
    ]


def test_columns_of_markdown_are_aligned():
    table = pd.DataFrame({"a": ["x", "long cell"], "wide name": ["1", "2"]})
    lines = document.markdown_table(table).splitlines()
    assert lines == [
        "| a         | wide name |",
        "|-----------|-----------|",
        "| x         | 1         |",
        "| long cell | 2         |",
    ]


def test_what_is_drawn_is_what_was_measured(tmp_path):
    for conditions, expected in (
        (PROTOCOL, ["figure_3.png", "figure_4.png"]),
        (protocol.parse_conditions(["video:frame_zero:0.9"]), ["figure_4.png"]),
        (protocol.parse_conditions(["both:frame_zero:0.9"]), []),
        (PROTOCOL[:1], []),
    ):
        folder = tmp_path / str(len(conditions)) / str(len(expected))
        folder.mkdir(parents=True)
        results = results_of(protocol.RECIPES, conditions)
        assert figures.draw_all(results, folder) == expected
        svgs = [name.replace(".png", ".svg") for name in expected]
        assert {path.name for path in folder.iterdir()} == {*expected, *svgs}
        for name in expected:
            assert (folder / name).read_bytes().startswith(b"\x89PNG")
        for name in svgs:
            assert b"Frame-Repeat" in (folder / name).read_bytes()


@pytest.mark.parametrize("models", [["video_only"], ["mine"], list(protocol.RECIPES)])
def test_the_lines_of_a_figure(models, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figure_file.plt, "close", drawn.append)
    results = results_of(models, PROTOCOL, (0, 1))
    figures.draw(results, "audio", tmp_path)
    monkeypatch.undo()
    (figure,) = drawn
    assert [axis.get_title() for axis in figure.axes[:3]] == [
        "(a) Clip-Zero",
        "(b) Frame-Zero",
        "(c) Frame-Repeat",
    ]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    expected = {protocol.title_of(name) for name in models if name != "audio_only"}
    assert expected <= lines.keys()
    assert "Audio only" not in lines  # it is what is lost
    if "mine" in models:
        # p = 1, .7, .5, .3, 0: (1 - p) / 2, train seeds 0 and 1; where the loss is
        # drawn, loss seeds 1 and 2.
        y = lines["mine"].get_ydata()
        np.testing.assert_allclose(y, [0.06, 0.215, 0.315, 0.415, 0.56], atol=1e-9)
        assert [t.get_text() for t in figure.axes[3].get_xticklabels()] == [
            "1",
            "0.7",
            "0.5",
            "0.3",
            "0",
        ]
    plt.close(figure)


def test_a_figure_shows_the_points_that_were_tested(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figure_file.plt, "close", drawn.append)
    texts = ("none", "video:frame_zero:0.25", "video:frame_zero:0.75")
    tested = [conditions_lib.parse(text) for text in texts]
    figures.draw_all(results_of(["baseline"], tested), tmp_path)
    monkeypatch.undo()
    (figure,) = drawn
    assert [axis.get_title() for axis in figure.axes] == ["(b) Frame-Zero", ""]
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert labels == ["0.75", "0.25", "0"]
    (line,) = (one for one in figure.axes[0].lines if one.get_label() == "Baseline")
    assert np.isfinite(line.get_ydata()).all() and len(line.get_ydata()) == 3
    plt.close(figure)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.12345, 3, "0.123"),
        (-0.0004, 3, "0.000"),
        (-0.0004, 4, "-0.0004"),
        (np.nan, 3, "-"),
    ],
)
def test_numbers_have_no_minus_before_a_zero(value, digits, text):
    assert report.number(value, digits) == text


def intervals_of(rows):
    """A table of intervals, from rows of model, interval, p, target and coverage."""
    return pd.DataFrame(
        [
            {
                "model": model,
                "train_seed": 0,
                "modality": "video" if p else "none",
                "pattern": "frame_zero" if p else "none",
                "p": p,
                "mean_burst": np.nan,
                "loss_seed": seed,
                "target": target,
                "interval": interval,
                "coverage": coverage + 0.02 * seed,
                "width": 0.5,
                "n_ticks": 10,
            }
            for model, interval, p, target, coverage in rows
            for seed in (0, 1)
        ],
        columns=list(sweep_results.INTERVAL_COLUMNS),
    )


def test_the_table_of_intervals_says_what_was_asked():
    table = report.interval_table(
        intervals_of(
            [
                ("baseline", 0.9, 0.0, "valence", 0.89),
                ("baseline", 0.9, 0.0, "arousal", 0.87),
                ("baseline", 0.9, 0.5, "valence", 0.49),
                ("baseline", 0.9, 0.5, "arousal", np.nan),
                ("robust", 0.8, 0.0, "valence", 0.79),
            ]
        )
    )
    assert table.to_dict("list") == {
        "lost": ["nothing lost", "video Frame-Zero p=0.5"],
        "Baseline, 0.9 asked": ["0.90 (0.50) / 0.88 (0.50)", "0.50 (0.50) / - (0.50)"],
        "Robust, 0.8 asked": ["0.80 (0.50) / -", "- / -"],
    }


def test_the_report_shows_intervals_where_there_are_any(tmp_path):
    results = results_of(["baseline"], PROTOCOL)
    intervals = intervals_of([("baseline", 0.9, 0.0, "valence", 0.89)])
    printed = report.write(results, [], "my/records", tmp_path, intervals)
    text = (tmp_path / "report.md").read_text()
    assert "0.90 (0.50) / -" in text and "0.90 (0.50) / -" in printed
    assert report.INTERVALS in text
    report.write(results, [], "my/records", tmp_path)
    assert report.INTERVALS_TITLE not in (tmp_path / "report.md").read_text()


def test_a_figure_that_can_not_be_written(tmp_path):
    results = results_of(["baseline"], PROTOCOL)
    before = plt.get_fignums()
    with pytest.raises(errors.DataError, match="figure_3.png: can't be written"):
        figures.draw_all(results, tmp_path / "nowhere")
    assert plt.get_fignums() == before


def test_the_report_names_records_seeds_and_figures(tmp_path):
    results = results_of(["baseline"], PROTOCOL, (3, 4), (5, 6))
    table = report.write(results, ["figure_4.png"], "my/records", tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert table in text
    assert "`my/records`" in text
    assert "3, 4" in text
    assert "5, 6" in text
    assert "(figure_4.png)" in text
    assert "figure_3" not in text
