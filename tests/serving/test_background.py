"""Models that show the scene where there is no face."""

import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import condition
from avexp_tf.data import record_source
from avexp_tf.evaluation import sweep
from avexp_tf.serving import parity
from avexp_tf.serving import parity_result
from avexp_tf.serving import record_signature
from avexp_tf.serving import signatures
from avexp_tf.training import trained_model
from tests.serving import small_run

TESTED = ("none", "video:clip_zero:1", "each:frame_repeat:0.5")


@pytest.fixture(name="run_dir", scope="module")
def _run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("background")
    small_run.make_records(folder / "records", background=True)
    return small_run.make_run(folder / "run", folder / "records")


@pytest.fixture(name="module", scope="module")
def _module(run_dir):
    return signatures.ServingModule(trained_model.load(run_dir), run_dir.manifest())


def test_every_word_for_it_gives_what_keras_gives(run_dir, module):
    functions = {
        name: tf.function(function, reduce_retracing=True)
        for name, (function, _) in module.signatures().items()
    }
    specs = {name: list(specs) for name, (_, specs) in module.signatures().items()}
    assert "background" in specs["serving_default"]
    assert "background" in specs["sources"]

    def call(name, request):
        inputs = {key: tf.constant(request[key]) for key in specs[name]}
        found = functions[name](**inputs)
        return np.stack([found[target].numpy() for target in config.TARGETS], -1)

    found = parity.measure(
        trained_model.load(run_dir),
        [parity_result.Candidate("module", parity_result.FLOAT32, call)],
        record_source.RecordSource.open(run_dir.config().data, "train"),
        TESTED,
        latency_rounds=1,
    )
    assert found.broken == {}
    assert found.passed
    seen = {(row.signature, row.condition) for row in found.rows}
    assert ("serving_default", "video:face_zero:0.5") in seen
    assert ("sources", "video:face_zero:0.5") in seen


def test_a_scene_is_shown_where_there_is_no_face(module):
    rng = np.random.default_rng(0)
    request = {
        "video": np.float32(rng.normal(size=(1, 12, 3))),
        "background": np.float32(rng.normal(size=(1, 12, 3))),
        "audio": np.float32(rng.normal(size=(1, 16, 2))),
        "video_present": np.arange(12)[None] < 6,
        "audio_present": np.ones((1, 12), bool),
    }

    def valence(**changes):
        inputs = {name: tf.constant(v) for name, v in (request | changes).items()}
        return module.predict(**inputs)["valence"].numpy()

    seen = request["background"].copy()
    seen[:, :6] = 5.0  # where there is a face, nobody looks at the scene
    np.testing.assert_allclose(valence(background=seen), valence(), atol=1e-6)
    nothing = valence(background=np.zeros_like(seen))
    assert np.abs(nothing - valence()).max() > 1e-3


def test_examples_show_the_scene_too(run_dir, module, tmp_path):
    model = trained_model.TrainedModel.load(run_dir.path)
    data = run_dir.config().data
    path = tmp_path / "predictions.csv"
    source = record_source.RecordSource.open(data, "train")
    sweep.evaluate([model], source, [condition.NONE], [1], path)
    rows = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding=None)
    records = record_signature.RecordPredictor(
        module, run_dir.manifest().layout, run_dir.config().data
    )
    found = records.predict(tf.constant(small_run.serialized(data.records)))
    valid = found["valid"].numpy()
    for target in config.TARGETS:
        np.testing.assert_allclose(
            found[target].numpy()[valid], rows[target], atol=2e-6
        )
