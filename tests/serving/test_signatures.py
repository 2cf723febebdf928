"""Every signature of an export gives the numbers of the Keras model, and refuses well.

The reference is `SweepPredictor` on the pipeline's own batches: what evaluation uses.
"""

import csv
import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import condition
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.data import schema
from avexp_tf.evaluation import sweep
from avexp_tf.models import sweep_predictor
from avexp_tf.serving import face_signature
from avexp_tf.serving import requests
from avexp_tf.serving import signatures
from avexp_tf.training import trained_model
from tests.serving import small_run

T, VIDEO, AUDIO, MARGIN = 12, 3, 2, 4

CONDITIONS = (
    "none",
    "video:clip_zero:1",
    "audio:clip_zero:1",
    "both:clip_zero:1",
    "video:frame_zero:0.5",
    "audio:frame_repeat:0.5",
    "each:gilbert_elliott:0.4:3:repeat",
)


@pytest.fixture(name="loaded", scope="module")
def _loaded(served):
    return tf.saved_model.load(str(served.export))


@pytest.fixture(name="batch", scope="module")
def _batch(served):
    """A batch under all conditions, and what Keras predicts, [B, K, T, 2]."""
    data = small_run.data_of(served.records)
    source = record_source.RecordSource.open(data, "train")
    ablations = [(((condition.parse(text),),), 1) for text in CONDITIONS]
    tensors = next(iter(pipeline.evaluation_batches(source, ablations)))
    batch = {name: tensor.numpy() for name, tensor in tensors.items()}
    assert batch["valid"].all()
    model = trained_model.load(served.run_dir)
    return batch, sweep_predictor.SweepPredictor(model).predict(batch)


def call(loaded, name, **inputs):
    found = loaded.signatures[name](
        **{key: tf.constant(value) for key, value in inputs.items()}
    )
    return np.stack([found[target].numpy() for target in config.TARGETS], -1)


def clip(n_clips=2, n_ticks=T, seed=3):
    rng = np.random.default_rng(seed)
    return {
        "video": np.float32(rng.normal(size=(n_clips, n_ticks, VIDEO))),
        "video_present": rng.random((n_clips, n_ticks)) < 0.7,
        "audio": np.float32(rng.normal(3, 2, (n_clips, n_ticks + MARGIN, AUDIO))),
        "audio_present": rng.random((n_clips, n_ticks)) < 0.7,
    }


@pytest.mark.parametrize("k", range(len(CONDITIONS)), ids=CONDITIONS)
def test_sources_give_what_keras_gives_under_every_loss(served, loaded, batch, k):
    values, expected = batch
    request = requests.of_sources(values, k, served.run_dir.manifest())
    found = call(loaded, "sources", **request)
    np.testing.assert_allclose(found, expected[:, k], atol=1e-5)


def test_presence_gives_what_keras_gives_for_real_gaps(served, loaded, batch):
    """Condition 0 has the gaps of the records, and those of whole clips follow."""
    values, expected = batch
    assert not values["video_present"].all() and not values["audio_present"].all()
    for k in range(4):
        request = requests.of_presence(values, k, served.run_dir.manifest())
        found = call(loaded, "serving_default", **request)
        np.testing.assert_allclose(found, expected[:, k], atol=1e-5)


def test_what_is_not_present_may_hold_anything(loaded):
    request = clip()
    expected = call(loaded, "serving_default", **request)
    for name, first in (("video", 0), ("audio", MARGIN)):
        rows = request[name][:, first:]
        rows[~request[f"{name}_present"]] = np.nan
    found = call(loaded, "serving_default", **request)
    np.testing.assert_array_equal(found, expected)


def test_signatures_that_leave_something_out(loaded):
    request = clip()
    whole = {name: request[name] for name in ("video", "audio")}
    everywhere = np.ones((2, T), bool)
    nowhere = ~everywhere
    pairs = {
        "complete": (whole, everywhere, everywhere),
        "without_video": ({"audio": whole["audio"]}, nowhere, everywhere),
        "without_audio": ({"video": whole["video"]}, everywhere, nowhere),
    }
    found = {}
    for name, (inputs, video_present, audio_present) in pairs.items():
        if name != "complete":
            (given,) = inputs
            inputs = inputs | {f"{given}_present": everywhere}
        found[name] = call(loaded, name, **inputs)
        expected = call(
            loaded,
            "serving_default",
            **whole,
            video_present=video_present,
            audio_present=audio_present,
        )
        np.testing.assert_allclose(found[name], expected, atol=1e-6)
    assert np.abs(found["complete"] - found["without_video"]).max() > 1e-3
    assert np.abs(found["complete"] - found["without_audio"]).max() > 1e-3


@pytest.mark.parametrize(("n_clips", "n_ticks"), [(1, 1), (3, 7), (2, 50)])
def test_batch_and_length_are_free(loaded, n_clips, n_ticks):
    found = call(loaded, "serving_default", **clip(n_clips, n_ticks))
    assert found.shape == (n_clips, n_ticks, 2)
    assert np.isfinite(found).all()


def test_clips_of_several_lengths_are_filled_up(loaded):
    request = clip(3)
    lengths = np.array([T, 5, 1], np.int32)
    padded = {name: values.copy() for name, values in request.items()}
    for row, length in enumerate(lengths):
        for name, values in padded.items():
            rest = length + (MARGIN if name == "audio" else 0)
            values[row, rest:] = True if values.dtype == bool else np.nan
    found = call(loaded, "padded", **padded, n_ticks=lengths)
    for row, length in enumerate(lengths):
        alone = {
            name: values[row : row + 1, : length + (MARGIN if name == "audio" else 0)]
            for name, values in request.items()
        }
        expected = call(loaded, "serving_default", **alone)
        np.testing.assert_allclose(found[row : row + 1, :length], expected, atol=1e-6)
        assert not found[row, length:].any()


@pytest.mark.parametrize("lengths", [[0, 1], [1, T + 1], [1], [1, 2, 3]])
def test_lengths_that_are_none_are_refused(loaded, lengths):
    with pytest.raises(tf.errors.InvalidArgumentError, match="n_ticks must be"):
        call(loaded, "padded", **clip(), n_ticks=np.array(lengths, np.int32))


def test_filling_up_keeps_the_context_after_a_clip(served):
    """With a centred context, LLDs after the last tick count as well."""
    manifest = served.run_dir.manifest()
    records = dataclasses.replace(manifest.records, context="centered")
    centred = dataclasses.replace(manifest, records=records)
    module = signatures.ServingModule(trained_model.load(served.run_dir), centred)
    request = clip(1)
    alone = {
        name: tf.constant(values[:, : 7 + (MARGIN if name == "audio" else 0)])
        for name, values in request.items()
    }
    padded = {name: tf.constant(values) for name, values in request.items()}
    np.testing.assert_allclose(
        module.predict_padded(**padded, n_ticks=tf.constant([7]))["valence"][:, :7],
        module.predict(**alone)["valence"],
        atol=1e-6,
    )


def test_clips_of_a_batch_know_nothing_of_each_other(loaded):
    request = clip(3)
    found = call(loaded, "serving_default", **request)
    alone = {name: values[1:2] for name, values in request.items()}
    np.testing.assert_allclose(
        call(loaded, "serving_default", **alone), found[1:2], atol=1e-6
    )


def test_examples_give_what_evaluation_measured(served, loaded, tmp_path):
    model = trained_model.TrainedModel.load(served.run)
    data = small_run.data_of(served.records)
    source = record_source.RecordSource.open(data, "train")
    path = tmp_path / "predictions.csv"
    sweep.evaluate([model], source, [condition.NONE], [1], path)
    with open(path) as file:
        evaluated = [
            [float(row[target]) for target in config.TARGETS]
            for row in csv.DictReader(file)
        ]
    records = small_run.serialized(served.records)
    assert len(records) == 7
    found = loaded.signatures["examples"](examples=tf.constant(records))
    valid = found["valid"].numpy()
    assert valid.shape == (7, 30) and not valid.all()
    values = np.stack([found[target].numpy() for target in config.TARGETS], -1)
    assert not values[~valid].any()
    np.testing.assert_allclose(values[valid], evaluated, atol=2e-6)
    # More clips than are predicted at once.
    many = loaded.signatures["examples"](examples=tf.constant(records * 3))
    for name in config.TARGETS:
        again = many[name].numpy().reshape(3, 7, 30)
        np.testing.assert_allclose(again, [found[name].numpy()] * 3, atol=1e-6)


def changed_record(served, **changes):
    """A record with other values: bytes, or whole numbers."""
    example = tf.train.Example.FromString(small_run.serialized(served.records)[0])
    for key, value in changes.items():
        feature = example.features.feature[key]
        if isinstance(value, int):
            feature.int64_list.value[0] = value
        else:
            feature.bytes_list.value[0] = value(feature.bytes_list.value[0])
    return example.SerializeToString()


def filled(dtype, number, rows=slice(None)):
    """Writes a number into rows of a field."""

    def change(content):
        values = np.frombuffer(content, dtype).copy()
        values[rows] = number
        return values.tobytes()

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({schema.AUDIO: filled("<f4", np.nan)}, "audio must be finite"),
        (
            {
                schema.VIDEO: filled("<f2", np.inf),
                schema.VIDEO_PRESENT: filled("u1", 1),
            },
            "video must be finite",
        ),
        *(
            ({schema.N_TICKS: n_ticks}, "n_ticks must be in 1 .. 1000000")
            for n_ticks in (0, -1, 2**31, 2**32 + 30)
        ),
    ],
)
def test_records_that_break_a_rule_are_refused(served, loaded, changes, message):
    record = changed_record(served, **changes)
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(message)):
        loaded.signatures["examples"](examples=tf.constant([record]))


def test_faces_of_a_record_that_are_not_present_may_hold_anything(served, loaded):
    absent = {schema.VIDEO_PRESENT: filled("u1", 0, slice(9))}
    whole, spoilt = (
        loaded.signatures["examples"](examples=tf.constant([one]))
        for one in (
            changed_record(served, **absent),
            changed_record(
                served, **absent, video=filled("<f2", np.nan, slice(9 * VIDEO))
            ),
        )
    )
    np.testing.assert_array_equal(spoilt["valence"], whole["valence"])


def changed(**changes):
    request = clip()
    for name, change in changes.items():
        request[name] = change(request[name])
    return request


def not_finite(values):
    values = values.copy()
    values[0, -1, 0] = np.nan
    return values


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (changed(video=lambda v: v[:, 1:]), "video must be [B, T, columns]"),
        (changed(video=lambda v: v[:, :1]), "video must be [B, T, columns]"),
        (changed(audio=lambda v: v[:, 1:]), "audio must be [B, T + 4, columns]"),
        (changed(audio=lambda v: v[:1]), "audio must be [B, T + 4, columns]"),
        (changed(audio_present=lambda v: v[:, 1:]), "source of audio must be [B, T]"),
        (
            changed(
                audio=not_finite, audio_present=np.ones_like, video_present=np.ones_like
            ),
            "audio must be finite",
        ),
        (
            changed(video=not_finite, video_present=np.ones_like),
            "video must be finite",
        ),
        (clip(0), "there must be a clip with a tick in it"),
        (clip(1, 0), "there must be a clip with a tick in it"),
    ],
)
def test_what_breaks_a_rule_is_refused(loaded, inputs, message):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        call(loaded, "serving_default", **inputs)
    assert message in str(caught.value)


@pytest.mark.parametrize("source", [-2, T])
def test_sources_outside_of_the_clip_are_refused(loaded, source):
    request = clip()
    sources = {
        f"{name}_source": np.full((2, T), source, np.int32)
        for name in ("video", "audio")
    }
    features = {name: request[name] for name in ("video", "audio")}
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be in -1 .. T - 1"):
        call(loaded, "sources", **features, **sources)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda record: b"nonsense", "parse"),
        (lambda record: b"", "Missing|required|Key"),
        (lambda record: record.replace(b"n_ticks", b"n_tacks"), "n_ticks"),
    ],
)
def test_damaged_records_are_refused(served, loaded, broken, message):
    record = small_run.serialized(served.records)[0]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        loaded.signatures["examples"](examples=tf.constant([broken(record)]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be a record"):
        loaded.signatures["examples"](examples=tf.constant([], tf.string))


@pytest.mark.parametrize("variant", ["video_only", "audio_only"])
def test_a_one_branch_model_takes_its_own(served, tmp_path, variant):
    model = dataclasses.replace(small_run.MODEL, variant=variant)
    run_dir = small_run.make_run(tmp_path / "run", served.records, model)
    module = signatures.ServingModule(trained_model.load(run_dir), run_dir.manifest())
    name = variant.removesuffix("_only")
    found = module.signatures()
    assert list(found) == ["serving_default", "padded", "complete", "sources"]
    assert list(found["serving_default"][1]) == [name, f"{name}_present"]
    request = {key: tf.constant(value) for key, value in clip().items() if name in key}
    everywhere = request | {f"{name}_present": tf.ones([2, T], tf.bool)}
    np.testing.assert_allclose(
        module.predict_complete(**{name: request[name]})["valence"],
        module.predict(**everywhere)["valence"],
        atol=1e-6,
    )
    gaps = module.predict(**request)["valence"]
    assert np.abs(gaps - module.predict(**everywhere)["valence"]).max() > 1e-3


def test_faces_are_described_in_the_graph(served):
    """With a small network in the place of VGG-Face."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((224, 224, 3))
    pooled = keras.layers.AveragePooling2D(56)(pixels)
    rows = keras.layers.Dense(VIDEO, activation="relu")(keras.layers.Flatten()(pooled))
    backbone = keras.Model(pixels, rows)
    module = signatures.ServingModule(
        trained_model.load(served.run_dir), served.run_dir.manifest()
    )
    faces = face_signature.FacePredictor(module, backbone)
    function = tf.function(
        lambda inputs: faces.predict(**inputs), input_signature=[faces.signature]
    )
    request = clip(2, 20)
    del request["video"]
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 20, 96, 96, 3), np.uint8)
    found = function(request | {"faces": pictures})
    # What the records would hold.
    crops = pictures.reshape(-1, 96, 96, 3).astype(np.float32) / 127.5 - 1
    features = backbone(face_signature.vggface.preprocessed(crops)).numpy()
    video = features.astype(np.float16).astype(np.float32).reshape(2, 20, VIDEO)
    inputs = {key: tf.constant(value) for key, value in request.items()}
    expected = module.predict(video=tf.constant(video), **inputs)
    np.testing.assert_allclose(found["valence"], expected["valence"], atol=1e-5)
    nobody = request | {"video_present": np.zeros((2, 20), bool)}
    nothing = {key: tf.constant(value) for key, value in nobody.items()}
    np.testing.assert_allclose(
        function(nobody | {"faces": pictures})["valence"],
        module.predict(video=tf.zeros_like(video), **nothing)["valence"],
        atol=1e-6,
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="faces must be"):
        function(request | {"faces": pictures[:, 1:]})
