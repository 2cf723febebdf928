"""What a sweep writes, against one plain pass per model and condition."""

import itertools

import array_corpus
import numpy as np
import pandas as pd
import pytest
import small_runs

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.corpora import synthetic
from avexp_tf.corpora.synthetic import optimum
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import sweep
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.objectives import moments
from avexp_tf.training import trained_model

CONDITIONS = protocol.parse_conditions(
    [
        "video:clip_zero:1",
        "video:frame_zero:0.5",
        "audio:clip_zero:1",
        "both:gilbert_elliott:0.4:3:repeat",
    ]
)
SEEDS = (5, 6)
VARIANTS = {
    "baseline": "audio_visual",
    "video_only": "video_only",
    "audio_only": "audio_only",
}


class Swept:
    """Records, models, and the result of their sweep.

    Args:
      folder: Where all of it lies.
      corpus: Of the records.
      intervals: {model: its interval}.
    """

    def __init__(self, folder, corpus, intervals=None):
        intervals = intervals or {}
        self.records = small_runs.write_records(folder / "records", corpus)
        self.models = []
        for name, variant in VARIANTS.items():
            settings = small_runs.experiment(
                self.records, name, variant=variant, interval=intervals.get(name, 0.0)
            )
            path = small_runs.write_run(folder / name, settings)
            self.models.append(trained_model.TrainedModel.load(path))
        self.data = self.models[0].run_dir.config().data
        self.predictions = folder / "predictions.csv"
        self.source = record_source.RecordSource.open(self.data, "validation")
        self.result = sweep.evaluate(
            self.models, self.source, CONDITIONS, SEEDS, self.predictions
        )


@pytest.fixture(scope="module", name="synthetic_sweep")
def _synthetic_sweep(tmp_path_factory):
    corpus = synthetic.SyntheticCorpus(small_runs.CORPUS)
    return Swept(tmp_path_factory.mktemp("synthetic"), corpus)


@pytest.fixture(scope="module", name="array_sweep")
def _array_sweep(tmp_path_factory):
    """Labels that are not all valid, and no known optimum."""
    corpus = array_corpus.ArrayCorpus((60, 45, 80, 31, 50, 77, 64, 90))
    return Swept(tmp_path_factory.mktemp("array"), corpus)


@pytest.fixture(scope="module", name="bounded_sweep")
def _bounded_sweep(tmp_path_factory):
    """Labels that are not all valid, and two models of three with intervals."""
    corpus = array_corpus.ArrayCorpus((60, 45, 80, 31, 50, 77, 64, 90))
    intervals = {"baseline": 0.9, "audio_only": 0.5}
    return Swept(tmp_path_factory.mktemp("bounded"), corpus, intervals)


def plain(swept, model, conditions_and_seeds, names=config.TARGETS):
    """Labels and predictions of all ticks by one pass per condition and a loop.

    Returns:
      {recording: (labels [n, 2], predicted [K, n, names])}
    """
    batches = pipeline.evaluation_batches(
        swept.source, [(((c,),), seed) for c, seed in conditions_and_seeds]
    )
    ticks = {}
    for batch in batches:
        batch = {name: tensor.numpy() for name, tensor in batch.items()}
        passes = []
        for k in range(len(conditions_and_seeds)):
            inputs = {
                name: batch[name][:, k] if name.endswith("_source") else batch[name]
                for name in model.model.input
            }
            found = model.model(inputs, training=False)
            passes.append(np.stack([found[name] for name in names], -1))
        for row in range(len(batch["start"])):
            name = batch["recording_id"][row].decode()
            for tick in np.flatnonzero(batch["valid"][row]):
                key = name, int(batch["first_tick"][row] + tick)
                values = np.stack([output[row, tick] for output in passes])
                _, together = ticks.setdefault(key, (batch["labels"][row, tick], []))
                together.append(values)
    recordings = {}
    for (name, _), (label, values) in sorted(ticks.items()):
        labels, predicted = recordings.setdefault(name, ([], []))
        labels.append(label)
        predicted.append(np.mean(values, axis=0))
    return {
        name: (np.array(labels), np.stack(predicted, axis=1))
        for name, (labels, predicted) in recordings.items()
    }


def ccc(labels, predicted):
    """CCC over valid ticks from its definition."""
    valid = ~np.isnan(labels)
    true, found = labels[valid].astype(np.float64), predicted[valid].astype(np.float64)
    covariance = np.mean((true - true.mean()) * (found - found.mean()))
    gap = (true.mean() - found.mean()) ** 2
    return 2 * covariance / (true.var() + found.var() + gap)


@pytest.mark.parametrize("name", ["synthetic_sweep", "array_sweep"])
def test_results_are_those_of_plain_passes(name, request):
    swept = request.getfixturevalue(name)
    pairs = sweep.sweep_of(CONDITIONS, SEEDS)
    results, recordings = swept.result.results, swept.result.recordings
    assert tuple(results.columns) == sweep_results.RESULT_COLUMNS
    assert len(results) == len(VARIANTS) * len(pairs) * 2
    entries = swept.source.manifest.split("validation").recordings
    assert len(entries) >= 2
    assert len(recordings) == len(results) * len(entries)
    for model in swept.models:
        expected = plain(swept, model, pairs)
        labels = np.concatenate([found[0] for found in expected.values()])
        predicted = np.concatenate([found[1] for found in expected.values()], axis=1)
        for k, (tested, seed) in enumerate(pairs):
            for column, target in enumerate(config.TARGETS):
                row = only(
                    results,
                    model=model.name,
                    modality=tested.modality,
                    pattern=tested.pattern_label,
                    p=tested.p,
                    loss_seed=seed,
                    target=target,
                )
                value = ccc(labels[:, column], predicted[k, :, column])
                assert row["ccc"] == pytest.approx(value, abs=1e-5)
                assert row["n_ticks"] == (~np.isnan(labels[:, column])).sum()
                for entry in entries:
                    own_labels, own = expected[entry.recording_id]
                    row = only(
                        recordings,
                        model=model.name,
                        modality=tested.modality,
                        p=tested.p,
                        pattern=tested.pattern_label,
                        loss_seed=seed,
                        target=target,
                        recording_id=entry.recording_id,
                    )
                    value = ccc(own_labels[:, column], own[k, :, column])
                    assert row["ccc"] == pytest.approx(value, abs=1e-4)
                    assert row["subject_id"] == entry.subject_id


def only(table, **values):
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_seeds_and_bursts_are_in_their_columns(synthetic_sweep):
    results = synthetic_sweep.result.results
    assert set(results["train_seed"]) == {0}
    bursts = results[results["pattern"] == "gilbert_elliott_repeat"]
    assert set(bursts["mean_burst"]) == {3.0}
    assert set(bursts["loss_seed"]) == set(SEEDS)
    assert set(bursts["modality"]) == {"both"}
    rest = results[results["pattern"] != "gilbert_elliott_repeat"]
    assert rest["mean_burst"].isna().all()
    unablated = results[results["modality"] == "none"]
    assert set(unablated["pattern"]) == {"none"}
    assert set(unablated["p"]) == {0.0}
    assert set(unablated["loss_seed"]) == {SEEDS[0]}


def test_a_unimodal_model_does_not_see_the_other_modality(synthetic_sweep):
    results = synthetic_sweep.result.results.set_index(["model", "modality", "target"])
    for model, other in (("video_only", "audio"), ("audio_only", "video")):
        for target in config.TARGETS:
            alone = results.loc[[(model, "none", target)]]
            lost = results.loc[[(model, other, target)]]
            assert set(lost["ccc"]) == set(alone["ccc"])
            # Nor does the best possible model that it is compared with.
            assert set(lost["optimum"]) == set(alone["optimum"])
    lost = results.loc[[("video_only", "video", "valence")]]
    assert lost[lost["p"] == 1]["ccc"].abs().max() < 0.05


def test_the_optimum_is_that_of_the_exact_posterior(synthetic_sweep):
    swept = synthetic_sweep
    pairs = sweep.sweep_of(CONDITIONS, SEEDS)
    made = optimum.Optimum(
        small_runs.CORPUS,
        small_runs.RECORDS.context_ticks,
        small_runs.RECORDS.context_before,
    )
    statistics = swept.source.manifest.audio_statistics
    batches = pipeline.evaluation_batches(
        swept.source, [(((c,),), seed) for c, seed in pairs]
    )
    k = 2
    assert str(pairs[k][0]) == "video:frame_zero:0.5"
    total = moments.moments_of(np.full((2, 1), np.nan), np.zeros((2, 1)))
    segments = {}
    for batch in batches:
        batch = {name: tensor.numpy() for name, tensor in batch.items()}
        means = made.posterior_means(
            made.video_states(batch["video"]),
            made.audio_states(batch["audio"] * statistics.std + statistics.mean),
            batch["audio_row_present"],
            batch["video_source"][:, k],
            batch["audio_source"][:, k],
        )
        for row in range(len(means)):
            for tick in np.flatnonzero(batch["valid"][row]):
                key = batch["recording_id"][row], batch["first_tick"][row] + tick
                label = batch["labels"][row, tick]
                segments.setdefault(key, (label, []))[1].append(means[row, tick])
    labels = np.array([label for label, _ in segments.values()])
    predicted = np.array([np.mean(values, 0) for _, values in segments.values()])
    total = moments.moments_of(labels.T, predicted.T)
    for column, target in enumerate(config.TARGETS):
        row = only(
            swept.result.results,
            model="baseline",
            pattern="frame_zero",
            loss_seed=SEEDS[0],
            target=target,
        )
        expected = moments.correlation_of(total)[column]
        assert row["optimum"] == pytest.approx(expected, abs=1e-6)
        assert 0.2 < expected < 1


def test_what_is_lost_lowers_the_optimum(synthetic_sweep):
    results = synthetic_sweep.result.results
    table = results[results["model"] == "baseline"].pivot_table(
        index="target", columns=["modality", "pattern"], values="optimum"
    )
    for target in config.TARGETS:
        best = table.loc[target]
        assert best["none", "none"] > best["video", "frame_zero"]
        assert best["video", "frame_zero"] > best["video", "clip_zero"]
    # Sound carries valence so poorly that on 219 ticks chance decides.
    best = table.loc["arousal"]
    assert best["none", "none"] > best["audio", "clip_zero"]


def test_without_a_known_optimum_the_column_is_empty(array_sweep, tmp_path):
    assert array_sweep.result.results["optimum"].isna().all()
    sweep_results.save(array_sweep.result, tmp_path / "out")
    lines = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert lines[0] == ",".join(sweep_results.RESULT_COLUMNS)
    assert lines[1].startswith("baseline,0,none,none,0,,5,valence,")
    assert lines[1].split(",")[-2] == ""


def test_saved_tables_are_those_of_the_result(synthetic_sweep, tmp_path):
    result = synthetic_sweep.result
    sweep_results.save(result, tmp_path)
    for name, table in (("results", result.results), ("recordings", result.recordings)):
        found = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=True)
        found["pattern"] = found["pattern"].fillna("none")
        found["modality"] = found["modality"].fillna("none")
        pd.testing.assert_frame_equal(found, table, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["synthetic_sweep", "array_sweep"])
def test_predictions_of_every_tick(name, request):
    swept = request.getfixturevalue(name)
    table = pd.read_csv(swept.predictions, keep_default_na=False)
    assert list(table.columns) == [
        "model",
        "train_seed",
        "condition",
        "loss_seed",
        "recording_id",
        "tick",
        "time",
        "valence",
        "arousal",
        "valence_label",
        "arousal_label",
    ]
    split = swept.source.manifest.split("validation")
    pairs = sweep.sweep_of(CONDITIONS, SEEDS)
    assert len(table) == len(VARIANTS) * len(pairs) * split.n_ticks
    keys = ["model", "condition", "loss_seed", "recording_id", "tick"]
    assert not table.duplicated(keys).any()
    for target in config.TARGETS:
        label = pd.to_numeric(table[f"{target}_label"])
        assert label.isna().any() == (name == "array_sweep")
        for tested, seed in pairs:
            for model in VARIANTS:
                at = (table["model"] == model) & (table["loss_seed"] == seed)
                at &= table["condition"] == str(tested)
                row = only(
                    swept.result.results,
                    model=model,
                    modality=tested.modality,
                    pattern=tested.pattern_label,
                    loss_seed=seed,
                    target=target,
                )
                value = ccc(label[at].to_numpy(), table[target][at].to_numpy())
                assert row["ccc"] == pytest.approx(value, abs=1e-4)


def test_intervals_are_counted_as_by_a_plain_loop(bounded_sweep):
    table = bounded_sweep.result.intervals
    assert tuple(table.columns) == sweep_results.INTERVAL_COLUMNS
    asked = dict(zip(table["model"], table["interval"], strict=True))
    assert asked == {"baseline": 0.9, "audio_only": 0.5}
    pairs = sweep.sweep_of(CONDITIONS, SEEDS)
    assert len(table) == 2 * len(pairs) * 2
    names = (*config.TARGETS, *outputs.BOUNDS)
    for model in (bounded_sweep.models[0], bounded_sweep.models[2]):
        found = plain(bounded_sweep, model, pairs, names)
        labels = np.concatenate([one for one, _ in found.values()])
        predicted = np.concatenate([one for _, one in found.values()], axis=1)
        for (k, (tested, seed)), (t, target) in itertools.product(
            enumerate(pairs), enumerate(config.TARGETS)
        ):
            low, high = predicted[k, :, 2 + 2 * t], predicted[k, :, 3 + 2 * t]
            inside, widths = [], []
            for truth, bottom, top in zip(labels[:, t], low, high, strict=True):
                if not np.isnan(truth):
                    inside.append(bottom <= truth <= top)
                    widths.append(top - bottom)
            row = only(
                table,
                model=model.name,
                modality=tested.modality,
                pattern=tested.pattern_label,
                loss_seed=seed,
                target=target,
            )
            assert row["n_ticks"] == len(inside)
            # A bound may lie within rounding of a label.
            assert row["coverage"] == pytest.approx(np.mean(inside), abs=1.5 / len(low))
            assert row["width"] == pytest.approx(np.mean(widths), abs=1e-5)


def test_predictions_have_the_bounds_of_models_that_give_them(bounded_sweep):
    table = pd.read_csv(bounded_sweep.predictions)
    assert tuple(table.columns) == (*sweep.PREDICTION_COLUMNS, *outputs.BOUNDS)
    for name, rows in table.groupby("model"):
        has_bounds = rows[list(outputs.BOUNDS)].notna()
        assert has_bounds.all(axis=None) == (name != "video_only")
        assert has_bounds.any(axis=None) == (name != "video_only")
    rows = table.dropna(subset=list(outputs.BOUNDS))
    assert (rows["valence_low"] < rows["valence"]).all()
    assert (rows["valence"] < rows["valence_high"]).all()


def test_the_table_of_intervals_is_there_only_where_there_are_any(
    bounded_sweep, array_sweep, tmp_path
):
    names = sweep_results.save(bounded_sweep.result, tmp_path)
    assert names == ["results.csv", "recordings.csv", "intervals.csv"]
    found = pd.read_csv(tmp_path / "intervals.csv", keep_default_na=False)
    assert len(found) == len(bounded_sweep.result.intervals)
    assert array_sweep.result.intervals is None
    names = sweep_results.save(array_sweep.result, tmp_path)
    assert names == ["results.csv", "recordings.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_nothing_is_left_of_predictions_that_were_not_finished(
    synthetic_sweep, tmp_path, monkeypatch
):
    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr(sweep.scoring, "segment_moments", broken)
    with pytest.raises(ZeroDivisionError):
        sweep.evaluate(
            synthetic_sweep.models,
            synthetic_sweep.source,
            CONDITIONS,
            SEEDS,
            tmp_path / "predictions.csv",
        )
    assert list(tmp_path.iterdir()) == []


def test_records_with_other_features_are_refused(synthetic_sweep, array_sweep):
    with pytest.raises(
        errors.DataError,
        match=r"its video features are random 1 \[3\], the model takes synthetic_fc6 1 "
        r"\[8\]",
    ):
        sweep.evaluate(synthetic_sweep.models, array_sweep.source, CONDITIONS, SEEDS)
