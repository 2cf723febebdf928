"""A model with intervals, shipped: every way to it gives the bounds of the model."""

import dataclasses
import json

import array_corpus
import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import api
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.evaluation import sweep_result
from avexp_tf.serving import client as clients
from avexp_tf.serving import export_config
from avexp_tf.serving import litert
from avexp_tf.serving import litert_metadata
from avexp_tf.serving import litert_model
from avexp_tf.serving import measured_results
from avexp_tf.serving import media_predictor
from avexp_tf.serving import model_card
from avexp_tf.serving import model_source
from avexp_tf.serving import parity_result
from avexp_tf.serving import prediction_plot
from avexp_tf.serving import prediction_table
from avexp_tf.serving import shipping
from avexp_tf.serving import signatures
from tests.serving import running_server
from tests.serving import small_run

NAMES = outputs.names(0.9)
TESTED = ("none", "video:clip_zero:1", "each:gilbert_elliott:0.3:3:repeat")


@pytest.fixture(name="bounded", scope="module")
def _bounded(tmp_path_factory):
    """A run with intervals and its export: a `small_run.Served`."""
    folder = tmp_path_factory.mktemp("bounded")
    small_run.make_records(folder / "records")
    model = dataclasses.replace(small_run.MODEL, interval=0.9)
    small_run.make_run(folder / "run", folder / "records", model)
    with pytest.MonkeyPatch.context() as patch:
        # Random weights lose more in int8 than the gate allows.
        wide = parity_result.Allowance(ccc=2)
        variant = dataclasses.replace(litert.VARIANTS["int8"], allowance=wide)
        patch.setitem(litert.VARIANTS, "int8", variant)
        shipped = shipping.ship(
            folder / "run",
            folder / "base",
            export_config.ExportConfig(),
            export_config.GateConfig(
                split="train", conditions=TESTED, latency_rounds=1
            ),
            ("float32", "int8"),
        )
    assert shipped.left_out == {}
    return small_run.Served(folder / "records", folder / "run", shipped.path)


@pytest.fixture(name="expected", scope="module")
def _expected(bounded):
    """A recording, and what the run's own weights say of it."""
    block = array_corpus.ticks("r0", 70)
    values = model_source.find(bounded.run).predictor().predict(block)
    assert values.shape == (70, 6)
    for t in range(2):
        assert (values[:, 2 + 2 * t] < values[:, t]).all()
        assert (values[:, t] < values[:, 3 + 2 * t]).all()
    return block, values


def test_the_export_gives_them(bounded, expected):
    block, values = expected
    found = model_source.find(bounded.export).predictor().predict(block)
    np.testing.assert_allclose(found, values, atol=1e-5)
    table = api.predict(bounded.export, block)
    assert list(table.columns) == [
        "time",
        "valence",
        "arousal",
        "video_present",
        "audio_present",
        *outputs.BOUNDS,
    ]
    np.testing.assert_allclose(table[list(NAMES)], values, atol=1e-5)


def test_every_signature_gives_them(bounded):
    loaded = tf.saved_model.load(str(bounded.export))
    request = running_server.clips()
    found = loaded.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in request.items()}
    )
    for name, function in loaded.signatures.items():
        if name != "about":
            assert set(NAMES) <= set(function.structured_outputs), name
    padded = loaded.signatures["padded"](
        n_ticks=tf.constant([12, 5], tf.int32),
        **{name: tf.constant(value) for name, value in request.items()},
    )
    for name in NAMES:
        np.testing.assert_allclose(padded[name][0], found[name][0], atol=1e-5)
        assert not padded[name][1, 5:].numpy().any()


def test_records_give_them(bounded, expected):
    loaded = tf.saved_model.load(str(bounded.export))
    records = small_run.serialized(bounded.records)
    found = loaded.signatures["examples"](examples=tf.constant(records))
    # The first three records are the segments of r0.
    values = np.stack([found[name].numpy() for name in NAMES], -1)
    valid = found["valid"].numpy()
    lengths = valid.sum(axis=1).tolist()
    first = np.concatenate([values[k][valid[k]] for k in range(3)])
    assert lengths[:3] == [30, 20, 20]
    np.testing.assert_allclose(first, expected[1], atol=2e-5)


def test_litert_gives_them_and_says_what_they_are(bounded, expected):
    block, values = expected
    folder = bounded.export / "assets.extra" / "litert"
    model = litert_model.LiteRt(folder / "float32.tflite")
    np.testing.assert_allclose(model.predictor().predict(block), values, atol=1e-5)
    rough = litert_model.LiteRt(folder / "int8.tflite").predictor().predict(block)
    assert rough.shape == values.shape
    assert np.corrcoef(rough[:, 3], values[:, 3])[0, 1] > 0.5
    content = (folder / "float32.tflite").read_bytes()
    assert b"low end of the interval of valence" in content
    card = litert_metadata.read(folder / "float32.tflite")["model_card.json"]
    assert json.loads(card)["outputs"]["arousal_high"]


def test_the_card_says_what_they_hold(bounded, tmp_path):
    run_dir = bounded.run_dir
    measured = measured_results.load(run_dir)
    assert measured["intervals"] == []
    results = "none,none,0,,{seed},{target},0.5,,9"
    intervals = "none,none,0,,{seed},{target},0.9,0.8{seed},0.4,9"
    for name, columns, line in (
        ("results", sweep_result.RESULT_COLUMNS, results),
        ("intervals", sweep_result.INTERVAL_COLUMNS, intervals),
    ):
        rows = [
            f"baseline,0,{line.format(seed=seed, target=target)}"
            for seed in (1, 3)
            for target in ("valence", "arousal")
        ]
        # Without a label there is neither.
        rows[-1] = rows[-1].replace("0.83,0.4", ",")
        text = "\n".join([",".join(columns), *rows])
        (tmp_path / f"{name}.csv").write_text(text)
    measured = measured_results.load(run_dir, tmp_path / "results.csv")
    assert [row["coverage"] for row in measured["intervals"]] == [
        0.81,
        0.81,
        0.83,
        None,
    ]
    card = model_card.card(run_dir, {signatures.DEFAULT: {}}, measured)
    shown = model_card.markdown(card)
    assert "| none | 0.500 | 0.500 |" in shown
    assert "| none | 0.82 (0.40) | 0.81 (0.40) |" in shown
    (tmp_path / "intervals.csv").write_text(text.replace("0.81", "nan"))
    with pytest.raises(errors.DataError, match="coverage=nan, width=0.4: must be fin"):
        measured_results.load(run_dir, tmp_path / "results.csv")


@pytest.mark.parametrize("scheme", ["grpc", "rest"])
def test_a_server_gives_them(scheme, bounded, expected):
    block, values = expected
    with running_server.serving(bounded.export.parent) as running:
        with clients.Client(getattr(running, scheme)) as client:
            predictor = client.predictor()
            assert predictor.outputs == NAMES
            np.testing.assert_allclose(predictor.predict(block), values, atol=1e-5)


def ticks_of(n_ticks, n_bounds):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.2, size=(n_ticks, 2)).astype(np.float32)
    ends = np.repeat(values, 2, axis=1) + np.float32([-0.3, 0.2, -0.1, 0.4])
    return media_predictor.Ticks(
        secs=np.arange(n_ticks) / 30,
        values=values,
        bounds=ends[:, :n_bounds],
        video_present=rng.random(n_ticks) < 0.5,
        audio_present=rng.random(n_ticks) < 0.9,
        frames=np.arange(n_ticks),
        boxes=np.full((n_ticks, 4), np.nan, np.float32),
        scores=np.zeros(n_ticks, np.float32),
    )


@pytest.mark.parametrize("n_bounds", [0, 4])
def test_the_table_gives_them_back(tmp_path, n_bounds):
    ticks = ticks_of(23, n_bounds)
    names = NAMES[: 2 + n_bounds]
    with prediction_table.writing(tmp_path / "a.csv", names) as write:
        write(ticks)
    start = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert start == ",".join((*prediction_table.COLUMNS, *outputs.BOUNDS[:n_bounds]))
    read = list(prediction_table.read(tmp_path / "a.csv", 10))
    assert [len(piece) for piece in read] == [10, 10, 3]
    found = np.concatenate([piece.bounds for piece in read])
    np.testing.assert_allclose(found, ticks.bounds, atol=1e-6)
    frame = prediction_table.frame(ticks)
    assert tuple(frame.columns) == (
        *prediction_table.COLUMNS,
        *outputs.BOUNDS[:n_bounds],
    )


def test_the_plot_has_a_band_for_each(tmp_path, monkeypatch):
    from matplotlib import axes

    bands = []
    plain = axes.Axes.fill_between
    monkeypatch.setattr(
        axes.Axes,
        "fill_between",
        lambda self, x, low, high, **more: (
            bands.append((low, high)) or plain(self, x, low, high, **more)
        ),
    )
    for n_bounds, n_bands in ((0, 0), (4, 2)):
        ticks = ticks_of(5000, n_bounds)
        before = len(bands)
        prediction_plot.draw([ticks], "a", tmp_path / f"{n_bounds}.png")
        drawn = [band for band in bands[before:] if np.ndim(band[1])]
        drawn = [band for band in drawn if (np.asarray(band[0]) < 0).any()]
        assert len(drawn) == n_bands
    # Pairs of ticks are averaged, and their bounds with them.
    np.testing.assert_allclose(
        drawn[0][0], ticks.bounds[:, 0].reshape(-1, 2).mean(axis=1), atol=1e-6
    )
    np.testing.assert_allclose(
        drawn[1][1], ticks.bounds[:, 3].reshape(-1, 2).mean(axis=1), atol=1e-6
    )
