"""Real recordings, streamed, give what the files give; and the backends agree."""

import array_corpus
import numpy as np
import pytest

from avexp_tf import config
from avexp_tf.data import prepare
from avexp_tf.data import record_source
from avexp_tf.features import backbones
from avexp_tf.features import detection
from avexp_tf.features import extract
from avexp_tf.features import settings as feature_settings
from avexp_tf.features import timeline
from avexp_tf.features import weights
from avexp_tf.live import clip_window
from avexp_tf.live import feature_stream
from avexp_tf.live import recognizer
from avexp_tf.live import settings
from avexp_tf.serving import model_source
from avexp_tf.serving import saved_model
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model
from tests.end_to_end import scripts
from tests.live import calls

damaged_files = scripts.load("damaged_files")
TICK = 1 / timeline.TICK_RATE_HZ
# How many pictures of each file are taken; the first two are enough for their switch
# from face to no face, and back.
FILES = {
    "face_then_none.mov": 100,
    "none_then_face.mov": 140,
    "talk_25fps_a.mp4": 40,
    "talk_25fps_b.mp4": 40,
    "talk_short.mp4": 40,
    "talk_short_noise.mp4": 40,
}


class Remembering:
    """Networks that run once per picture, for the file and for the call."""

    def __init__(self, network):
        self._network = network
        self._known = {}

    @property
    def features(self):
        return self._network.features

    def detect(self, image_bgr):
        key = image_bgr.tobytes()
        if key not in self._known:
            self._known[key] = self._network.detect(image_bgr)
        return self._known[key]

    def describe(self, crops):
        found = []
        for crop in crops:
            key = crop.tobytes()
            if key not in self._known:
                self._known[key] = self._network.describe(crop[None])[0]
            found.append(self._known[key])
        return np.array(found).reshape(len(crops), self.features.dim)


# Second in which the face goes or comes, and whether it is there before.
SWITCHES = {"face_then_none.mov": (2.4, True), "none_then_face.mov": (3.945, False)}


@pytest.fixture(scope="module")
def features(weights_dir):
    sface = weights_dir / "face_recognition_sface_2021dec.onnx"
    return feature_settings.FeatureConfig(
        face_detector="yunet", face_every=3, visual_backbone=f"onnx:{sface}"
    )


@pytest.fixture(scope="module")
def networks(features, weights_dir):
    """Detector and backbone, which see each picture once for all tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
        return (
            Remembering(detection.make(features)),
            Remembering(backbones.make(features)),
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_streamed_file_gives_what_the_file_gives(
    tmp_path, monkeypatch, media_dir, features, networks, name
):
    detector, backbone = networks
    monkeypatch.setattr(backbones, "make", lambda config: backbone)
    monkeypatch.setattr(detection, "make", lambda config: detector)
    path = tmp_path / name
    damaged_files.excerpt(media_dir / name, path, FILES[name])
    made = calls.predictor_of(
        calls.Sums(dims=(backbone.features.dim, 65)), video=backbone.features
    )
    expected, block = calls.offline(path, extract.Extractor(features), made)
    # As long as openSMILE can hold a row back.
    live = settings.LiveConfig(delay_secs=2.0)
    stream = feature_stream.FeatureStream(features, live, origin_secs=0.0)
    with recognizer.Recognizer(made, stream, live) as call:
        found = calls.streamed(call, calls.packets_of(path))
    np.testing.assert_allclose([one.secs for one in found], block["timestamps"])
    for kind in ("video_present", "audio_present"):
        there = [getattr(one, kind) for one in found]
        np.testing.assert_array_equal(there, block[kind])
    np.testing.assert_allclose([one.values for one in found], expected, atol=1e-4)
    assert block["audio_present"].any()
    assert block["video_present"].any()
    assert block["video_present"].all() == ("none" not in name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_bad_connection_never_stalls_it(
    tmp_path, media_dir, features, networks, name
):
    """30% lost, the rest in any order and up to 500 ms late."""
    delay_secs = 0.7
    path = tmp_path / name
    damaged_files.excerpt(media_dir / name, path, FILES[name])
    detector, backbone = networks
    rng = np.random.default_rng(1)
    kept = [one for one in calls.packets_of(path) if rng.random() >= 0.3]
    there = [one[0] + length_secs(one) for one in kept]
    comes = np.array(there) + rng.uniform(0, 0.5, len(kept))
    order = np.argsort(comes)
    assert (np.diff(order) < 0).any()
    made = calls.predictor_of(
        calls.Sums(dims=(backbone.features.dim, 65)), video=backbone.features
    )
    live = settings.LiveConfig(delay_secs=delay_secs)
    stream = feature_stream.FeatureStream(features, live, 0.0, backbone, detector)
    found, n_pushed = [], 0
    ends_secs = max(there)
    with recognizer.Recognizer(made, stream, live) as call:
        for now in np.arange(0.0, ends_secs + delay_secs, TICK):
            while n_pushed < len(kept) and comes[order[n_pushed]] <= now:
                calls.push(call, kept[order[n_pushed]])
                n_pushed += 1
            found += call.poll(now)
            # All that is due is answered, and no more than what is not due is kept.
            n_due = int(np.floor((now - delay_secs + 6e-4) / TICK + 1e-9)) + 1
            assert len(found) == max(n_due, 0)
            assert stream.n_waiting <= 30 * (delay_secs + 0.1)
    assert np.isfinite([one.values for one in found]).all()
    assert stream.n_resyncs == stream.n_dropped_pictures == 0

    secs = np.array([one.secs for one in found])
    seen = np.array([one.video_present for one in found])
    taken = np.array([one[0] for one in kept if one[1] == "video"])
    age = np.array(
        [np.min(tick - taken[taken <= tick + 6e-4], initial=9.0) for tick in secs]
    )
    showing = age < 1.0 - TICK
    at_secs, before = SWITCHES.get(name, (np.inf, True))
    sure = np.abs(secs - at_secs) > 0.5
    sure &= np.abs(age - 1.0) > 2 * TICK
    expected = showing & ((secs < at_secs) == before)
    assert np.mean(seen[sure] == expected[sure]) > 0.95
    assert not seen[~showing & sure].any()

    heard = np.array([one.audio_present for one in found])
    sounding = np.zeros(len(found) + 9, bool)
    for one in kept:
        if one[1] == "audio":
            first = max(int(np.ceil((one[0] - 0.02) / TICK)), 0)
            sounding[first : int((one[0] + length_secs(one)) / TICK) + 2] = True
    # Where a voice begins or ends openSMILE can hold rows back for longer than this
    # call waits.
    assert np.mean(heard == sounding[: len(heard)]) > 0.9
    assert heard.any()


def length_secs(packet):
    return 0.0 if packet[1] == "video" else len(packet[2]) / calls.RATE


def test_run_directory_and_export_give_the_same_call(tmp_path):
    corpus = array_corpus.ArrayCorpus([60, 40], split="train")
    records = config.RecordsConfig(context_ticks=5, segment_ticks=30, dev_fraction=0.0)
    prepare.prepare(corpus, tmp_path / "records", records)
    experiment = config.ExperimentConfig(
        config.DataConfig(records=str(tmp_path / "records"), clip_ticks=12),
        config.ModelConfig(d_model=8, num_heads=2, ff_dim=16, num_layers=1),
    )
    source = record_source.RecordSource.open(experiment.data, "train")
    run_dir = run_dirs.RunDir(tmp_path / "run")
    run_dir.begin(experiment, source.manifest)
    model = trained_model.build(experiment, source.manifest)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    run_dir.save_weights(model)
    saved_model.export(tmp_path / "run", tmp_path / "export")

    ticks = calls.ticks_of(40)
    video, audio, seen, heard = (
        np.array([getattr(tick, name) for tick in ticks])
        for name in ("video", "audio", "video_present", "audio_present")
    )
    found = {}
    for name in ("run", "export"):
        made = model_source.find(tmp_path / name).predictor()
        window = clip_window.ClipWindow(made)
        found[name] = np.concatenate(
            [window.predict(ticks[k : k + 7]) for k in range(0, 40, 7)]
        )
        # Silence that is heard is not zero.
        sound = audio + np.where(heard, np.float32(1e-30), np.float32(0))[:, None]
        padded = np.pad(sound, ((4, 0), (0, 0)))
        for k in (0, 5, 11, 12, 39):
            first = max(0, k - 11)
            clip = {
                "video": video[first : k + 1],
                "audio": padded[first : k + 5],
                "video_present": seen[first : k + 1],
                "audio_present": heard[first : k + 1],
            }
            batch = {name: rows[None] for name, rows in clip.items()}
            np.testing.assert_allclose(
                found[name][k], made.model.predict(batch)[0, -1], atol=1e-5
            )
    np.testing.assert_allclose(found["run"], found["export"], atol=1e-5)
    assert np.ptp(found["run"]) > 0.1
