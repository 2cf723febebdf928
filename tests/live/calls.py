"""Small networks, a model and packets for tests of calls."""

import dataclasses

import array_corpus
import numpy as np

from avexp_tf import config
from avexp_tf import recording
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifests
from avexp_tf.features import extract
from avexp_tf.features import lld_stream
from avexp_tf.features import settings as feature_settings
from avexp_tf.live import feature_stream
from avexp_tf.live import recognizer
from avexp_tf.live import settings
from avexp_tf.media import audio_reader
from avexp_tf.media import frame_reader
from avexp_tf.serving import predictor

RATE = 16_000
FEATURES = recording.FeatureSet("mean_color", "1", 3)
DATA = config.DataConfig(clip_ticks=16, eval_stride=8)


class MeanColor:
    """A backbone whose features are the crop's mean; counts its work."""

    features = FEATURES
    n_described = 0

    def describe(self, crops):
        self.n_described += len(crops)
        return crops.mean(axis=(1, 2)).reshape(len(crops), 3)


class BrightSquare:
    """A detector that takes whatever is brighter than 200 for a face."""

    def detect(self, image_bgr):
        bright = image_bgr[::4, ::4].min(axis=2) > 200
        if not bright.any():
            return np.zeros((0, 5), np.float32)
        rows, columns = np.nonzero(bright)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return np.array([[*(4 * edge for edge in box), 0.9]], np.float32)


class Sums:
    """A model whose answer at a tick depends on every row of its clip."""

    interval = 0.0

    def __init__(self, dims=(3, 65)):
        rng = np.random.default_rng(0)
        self._weights = [rng.normal(size=dim) / dim for dim in dims]
        self.lengths = []

    def predict(self, clips):
        n_clips, n_ticks = clips["video_present"].shape
        self.lengths.append((n_clips, n_ticks))
        fading = np.exp(-np.arange(n_ticks)[::-1] / 5)
        video = clips["video"] @ self._weights[0] @ fading
        audio = np.tanh(clips["audio"] / 10) @ self._weights[1]
        audio = audio.sum(axis=1) + clips["audio_present"] @ fading
        video = video + clips["video_present"] @ fading
        values = np.stack([video, audio], axis=-1) / 10
        return np.repeat(values[:, None], n_ticks, axis=1).astype(np.float32)


class Bounded(Sums):
    """The same with an interval, of another width for each end."""

    interval = 0.9
    distances = np.float32([-0.1, 0.2, -0.3, 0.4])

    def predict(self, clips):
        values = super().predict(clips)
        ends = np.repeat(values, 2, axis=-1) + self.distances
        return np.concatenate([values, ends], axis=-1)


def manifest(**changes):
    entry = contents.Entry("a", "a", "a", (10,))
    made = manifests.Manifest(
        corpus_name="media",
        corpus_config={
            "features": {},
            "clock": "30hz",
        },
        video=FEATURES,
        audio=lld_stream.feature_set(),
        records=config.RecordsConfig(context_ticks=4, segment_ticks=40),
        has_background=False,
        audio_statistics=contents.AudioStatistics(9, (0.0,) * 65, (1.0,) * 65),
        splits={"train": contents.Split((), (entry,), 0, 0, (0, 0))},
    )
    return dataclasses.replace(made, **changes)


def predictor_of(model=None, **changes):
    model = model or Sums()
    return predictor.Predictor(model, manifest(**changes), DATA, model.interval)


def recognizer_of(live=None, origin_secs=0.0, model=None, background=False, **changes):
    live = live or settings.LiveConfig(**changes)
    stream = feature_stream.FeatureStream(
        feature_settings.FeatureConfig(background=background),
        live,
        origin_secs,
        backbone=MeanColor(),
        detector=BrightSquare(),
    )
    made = predictor_of(model, has_background=background)
    return recognizer.Recognizer(made, stream, live)


def packets_of(path):
    """All packets of a file in the order of their time: (secs, kind, content)."""
    found = []
    for frame in frame_reader.FrameReader(path):
        found.append((frame.secs, "video", frame))
    for block in audio_reader.AudioReader(path):
        found.append((block.start / RATE, "audio", block.samples))
    return sorted(found, key=lambda one: one[0])


def push(live, packet):
    secs, kind, content = packet
    if kind == "video":
        live.push_video(
            content.image_bgr(), secs, content.duration_secs, content.lost_before
        )
    else:
        live.push_audio(content, secs)


def streamed(live, packets, ends=True):
    """Estimates of packets that come in time; each stream ends with its last one."""
    last = {kind: k for k, (_, kind, _) in enumerate(packets)}
    found = []
    for k, packet in enumerate(packets):
        push(live, packet)
        if ends and last[packet[1]] == k:
            live.end(packet[1])
        found += live.poll()
    return found + live.finish()


def offline(path, extractor, made, clip_ticks=DATA.clip_ticks):
    """The prediction of each tick from the clip that ends with it, and the block."""
    pieces = [stretch.block for stretch in extractor.read(path)]
    block = {
        name: np.concatenate([getattr(piece, name) for piece in pieces])
        for name in ("timestamps", "video", "audio", "video_present", "audio_present")
    }
    video = block["video"].astype(np.float16).astype(np.float32)
    margin = made.manifest.layout.context_ticks - 1
    audio = np.pad(block["audio"], ((margin, 0), (0, 0)))
    values = []
    for tick in range(len(video)):
        first = max(0, tick + 1 - clip_ticks)
        clip = {
            "video": video[first : tick + 1],
            "audio": audio[first : tick + 1 + margin],
            "video_present": block["video_present"][first : tick + 1],
            "audio_present": block["audio_present"][first : tick + 1],
        }
        batch = {name: rows[None] for name, rows in clip.items()}
        values.append(made.model.predict(batch)[0, -1])
    return np.array(values), block


def small_extractor(monkeypatch):
    """An extractor of files with the small networks."""
    from avexp_tf.features import backbones
    from avexp_tf.features import detection

    monkeypatch.setattr(backbones, "features", lambda config: FEATURES)
    monkeypatch.setattr(backbones, "make", lambda config: MeanColor())
    monkeypatch.setattr(detection, "make", lambda config: BrightSquare())
    return extract.Extractor(feature_settings.FeatureConfig())


def picture(with_face, shade=100):
    image = np.full((96, 128, 3), shade, np.uint8)
    if with_face:
        image[32:64, 48:80] = 230
        image[40:48, 56:64] = 210
    return image


def voice(n_secs, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.3, 0.3, round(n_secs * RATE)).astype(np.float32)


def ticks_of(n_ticks=60):
    """Returns ticks of random features, with gaps in both modalities."""
    block = array_corpus.ticks("r0", n_ticks)
    seen, heard = block.video_present, block.audio_present
    video = np.where(seen[:, None], block.video, 0.0).astype(np.float32)
    audio = np.where(heard[:, None], block.audio, 0.0).astype(np.float32)
    return [
        feature_stream.TickFeatures(
            index=k,
            secs=k / 30,
            video=video[k],
            audio=audio[k],
            background=None,
            video_present=bool(seen[k]),
            video_arrived=bool(seen[k]),
            audio_present=bool(heard[k]),
            box=None,
            score=0.9,
            picture=k,
            looked=True,
            restarted=k == 0,
        )
        for k in range(n_ticks)
    ]
