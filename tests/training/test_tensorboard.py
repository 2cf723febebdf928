"""What TensorBoard reads of a run, read back from its event file."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import small_runs
import tensorflow as tf
from tensorboard.plugins.hparams import plugin_data_pb2

from avexp_tf.training import dev_figures
from avexp_tf.training import experiment as experiments
from avexp_tf.training import run as run_lib
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import scoring
from avexp_tf.training import trained_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three epochs with figures, stopped after the second one."""
    folder = tmp_path_factory.mktemp("tensorboard")
    records = str(small_runs.write_records(folder / "records"))
    settings = small_runs.experiment(records)
    train = dataclasses.replace(
        settings.train,
        epochs=3,
        figure_epochs=1,
        robustness_epochs=2,
        ablation=("video:frame_zero:0.5",),
    )
    settings = dataclasses.replace(settings, train=train)
    with pytest.MonkeyPatch.context() as patched:
        original = run_lib.Run._close_epoch

        def close(self, row, *rest):
            if row["epoch"] == 3:
                raise KeyboardInterrupt
            original(self, row, *rest)

        patched.setattr(run_lib.Run, "_close_epoch", close)
        with pytest.raises(KeyboardInterrupt):
            experiments.train(settings, folder / "run", report=str)
    experiments.train(settings, folder / "run", report=str)
    return run_dirs.RunDir(folder / "run"), settings


def values_of(run_dir, plugin):
    """{tag: {step: value}} of one of TensorBoard's plugins."""
    found = {}
    (path,) = run_dir.tensorboard_path.iterdir()
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == plugin:
                steps = found.setdefault(value.tag, {})
                assert event.step not in steps, "written twice"
                steps[event.step] = value
    return found


def test_scalars_are_those_of_the_history(run):
    run_dir, _ = run
    history = pd.read_csv(run_dir.history_path)
    assert {"loss", "learning_rate", "dev_ccc", "alpha", "beta"} <= set(history)
    found = values_of(run_dir, "scalars")
    for name in history:
        shown = {
            step: float(tf.make_ndarray(value.tensor))
            for step, value in found[name].items()
        }
        assert shown == pytest.approx(
            dict(zip(history["step"], history[name], strict=True)), rel=1e-6
        )


def test_settings_are_shown(run):
    run_dir, settings = run
    (value,) = values_of(run_dir, "hparams")["_hparams_/session_start_info"].values()
    content = plugin_data_pb2.HParamsPluginData.FromString(
        value.metadata.plugin_data.content
    )
    shown = content.session_start_info.hparams
    assert shown["d_model"].number_value == settings.model.d_model
    assert shown["ablation"].string_value == "video:frame_zero:0.5"
    assert shown["scale_attention"].bool_value is True


def test_figures_are_of_the_epochs_that_were_asked_for(run):
    run_dir, _ = run
    history = pd.read_csv(run_dir.history_path)
    steps = dict(zip(history["epoch"], history["step"], strict=True))
    found = values_of(run_dir, "images")
    expected = {dev_figures.PREDICTIONS: (1, 2, 3), dev_figures.ROBUSTNESS: (2,)}
    assert set(found) == set(expected)
    for name, epochs in expected.items():
        assert set(found[name]) == {steps[epoch] for epoch in epochs}
        for epoch in epochs:
            height, width, png = tf.make_ndarray(found[name][steps[epoch]].tensor)[:3]
            kept = tf.image.decode_png(
                dev_figures.path_of(run_dir.figures_path, name, epoch).read_bytes(), 3
            )
            shown = tf.image.decode_png(png)
            np.testing.assert_array_equal(shown, kept)
            assert shown.shape == (int(width), int(height), 3)
            assert np.ptp(shown.numpy()) > 200  # something is drawn


def test_curves_are_the_ccc_of_the_sweep(run, tmp_path):
    run_dir, settings = run
    from avexp_tf.data import condition
    from avexp_tf.data import record_source
    from avexp_tf.evaluation import sweep
    from avexp_tf.models import sweep_predictor

    model = trained_model.TrainedModel.load(run_dir.path)
    source = record_source.RecordSource.open(settings.data, "dev")
    drawn = dev_figures.draw_robustness(
        tmp_path, 7, source, sweep_predictor.SweepPredictor(model.model).predict
    )
    assert dev_figures.path_of(tmp_path, dev_figures.ROBUSTNESS, 7).is_file()
    tested = [condition.NONE, condition.Condition("audio", "frame_repeat", 0.9)]
    result = sweep.evaluate([model], source, tested, [scoring.DEV_SEED]).results
    mean = result.groupby(["modality"])["ccc"].mean()
    assert drawn["audio:frame_repeat:0.9"] == pytest.approx(mean["audio"])
    assert drawn["video:clip_zero:0"] == pytest.approx(mean["none"])


def test_a_run_that_starts_again_has_no_old_figures(run, tmp_path):
    run_dir, _ = run
    assert run_dir.figures_path.is_dir()
    run_dir.forget()
    assert not run_dir.figures_path.exists()
