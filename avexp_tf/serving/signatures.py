"""What a served model takes and gives: the model with what the pipeline does before it.

Every signature has named inputs, dynamic batch B and ticks T, and gives the model's
outputs (see `avexp_tf.outputs`), float32 [B, T]: `valence` and `arousal`, and if it was
trained with intervals their bounds. Only `about` gives what the inputs depend on. A
server takes a request only with all inputs of a signature, so what a request may leave
out is a signature of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from avexp_tf import config
from avexp_tf import outputs
from avexp_tf.data import manifest as manifests

Tensors = dict[str, tf.Tensor]
Specs = dict[str, tf.TensorSpec]

DEFAULT = "serving_default"
PADDED = "padded"
COMPLETE = "complete"
WITHOUT_VIDEO = "without_video"
WITHOUT_AUDIO = "without_audio"
SOURCES = "sources"
EXAMPLES = "examples"
FACES = "faces"
ABOUT = "about"

WHAT = {
    DEFAULT: "features and, per tick, whether there is a face and whether there is "
    "sound; rows of ticks without are ignored, whatever they hold",
    PADDED: "the same for clips of several lengths, filled up to one: `n_ticks` count",
    COMPLETE: "features alone: a face and sound at every tick",
    WITHOUT_VIDEO: "no camera: sound alone",
    WITHOUT_AUDIO: "no microphone: faces alone",
    SOURCES: "features and, per tick, which row is shown: t itself, an earlier one "
    "that is repeated, -1 for none; an LLD row of zeros is no sound",
    EXAMPLES: "serialized records as avexp-prepare writes them, cut into clips as in "
    "evaluation; `valid` is false after the end of a shorter record",
    FACES: "face crops 96x96, RGB, 0..255, instead of features",
    ABOUT: "what this card and the files beside it say, by file name",
}


class ServingModule(tf.Module):
    """The model with normalisation and gaps in its graph.

    Args:
      model: With its weights.
      manifest: Of the records it was trained on.
      checked: Refuse what breaks a rule (other shapes than the names say, nothing in
        it, numbers that are not finite) with INVALID_ARGUMENT. LiteRT has no operator
        for that.

    Attributes:
      modalities: Those that the model takes.
      outputs: Names of what it gives.
    """

    def __init__(
        self, model: keras.Model, manifest: manifests.Manifest, checked: bool = True
    ):
        super().__init__()
        self._layout = manifest.layout
        self._video_dim = manifest.layout.video_dim
        self._checked = checked
        self.modalities = [name for name in config.MODALITIES if name in model.input]
        self.outputs = outputs.names_in(model.output)
        statistics = manifest.audio_statistics
        self._mean = tf.constant(np.asarray(statistics.mean, np.float32))
        self._scale = tf.constant(1 / np.asarray(statistics.std, np.float32))
        # One function that all signatures call: traced once, stored once.
        specs = {"valid": _spec("valid", tf.bool)}
        for name in self.modalities:
            specs[name] = self.features_spec(name)
            specs[f"{name}_source"] = _spec(f"{name}_source", tf.int32)
        self._body = tf.function(
            lambda features: model(features, training=False),
            input_signature=[specs],
            autograph=False,
        )

    @property
    def signature(self) -> Specs:
        """The inputs of `serving_default`; a one-branch model has only its own."""
        specs: Specs = {}
        for name in self.modalities:
            specs |= self._features_of(name)
            specs[f"{name}_present"] = _spec(f"{name}_present", tf.bool)
        return specs

    @property
    def has_background(self) -> bool:
        """Whether a tick without a face shows the scene, where there is one."""
        return self._layout.has_background and "video" in self.modalities

    def _features_of(self, modality: str) -> Specs:
        specs = {modality: self.features_spec(modality)}
        if modality == "video" and self.has_background:
            specs["background"] = _spec("background", tf.float32, self._video_dim)
        return specs

    def features_spec(self, modality: str) -> tf.TensorSpec:
        """Returns the spec of `video` or `audio`."""
        dims = {"video": self._video_dim, "audio": self._layout.audio_dim}
        return _spec(modality, tf.float32, dims[modality])

    def signatures(self) -> dict[str, tuple[Callable[..., Tensors], Specs]]:
        """Returns {name: (function of the inputs by name, their specs)}.

        `examples` and `faces` are made by `record_signature` and `face_signature`.
        """
        plain = {name: self.features_spec(name) for name in self.modalities}
        features: Specs = {}
        for name in self.modalities:
            features |= self._features_of(name)
        found: dict[str, tuple[Callable[..., Tensors], Specs]] = {
            DEFAULT: (self.predict, self.signature),
            PADDED: (
                self.predict_padded,
                self.signature
                | {"n_ticks": tf.TensorSpec([None], tf.int32, "n_ticks")},
            ),
            COMPLETE: (self.predict_complete, plain),
            SOURCES: (
                self.predict_sources,
                features
                | {
                    f"{name}_source": _spec(f"{name}_source", tf.int32)
                    for name in self.modalities
                },
            ),
        }
        if len(self.modalities) == 2:
            for name, given in ((WITHOUT_VIDEO, "audio"), (WITHOUT_AUDIO, "video")):
                present = f"{given}_present"
                specs = self._features_of(given) | {present: self.signature[present]}
                found[name] = (self.predict_one, specs)
        return found

    def predict(self, **inputs: tf.Tensor) -> Tensors:
        """Predicts from features and what of them is there.

        Args:
          **inputs: `video` float32 [B, T, video_dim]; `audio` float32 [B, T + C - 1,
            audio_dim], not normalised; `video_present`, `audio_present` bool [B, T].
            What stands in a row that is not present has no influence. In the margin
            of `audio`, rows of zeros are no sound. For a model with background,
            `background` float32 [B, T, video_dim] is shown where there is no face;
            a row of zeros is none.

        Returns:
          The outputs, float32 [B, T].
        """
        present = inputs[f"{self.modalities[0]}_present"]
        n_ticks = tf.fill(tf.shape(present)[:1], tf.shape(present)[1])
        return self._predict(inputs, n_ticks, None)

    def predict_padded(self, **inputs: tf.Tensor) -> Tensors:
        """Predicts clips of several lengths, filled up at their ends to one length.

        A server that puts requests together to batches needs them to be of one length.

        Args:
          **inputs: As `predict` takes them, and `n_ticks` int32 [B]: so many ticks
            count, with their rows of `audio`, of the clip at this place.

        Returns:
          The outputs, float32 [B, T]; 0 at ticks that don't count.
        """
        n_ticks = inputs["n_ticks"]
        present = inputs[f"{self.modalities[0]}_present"]
        most = tf.shape(present)[1]
        checks = []
        if self._checked:
            checks = [
                require(
                    tf.equal(tf.size(n_ticks), tf.shape(present)[0])
                    & tf.reduce_all((n_ticks >= 1) & (n_ticks <= most)),
                    "n_ticks must be [B], each in 1 .. T",
                )
            ]
        with tf.control_dependencies(checks):
            valid = tf.range(most) < tf.expand_dims(n_ticks, 1)
        found = self._predict(inputs, n_ticks, valid)
        return {
            name: tf.where(valid, values, 0.0, name=name)
            for name, values in found.items()
        }

    def _predict(
        self, inputs: Tensors, n_ticks: tf.Tensor, valid: tf.Tensor | None
    ) -> Tensors:
        """Predicts from features and presence; of each clip `n_ticks` [B] count."""
        streams: Tensors = {}
        sources: Tensors = {}
        for name in self.modalities:
            present = inputs[f"{name}_present"]
            if valid is not None:
                present &= valid
            ticks = tf.range(tf.shape(present)[1])
            sources[name] = tf.where(present, ticks, -1)
            streams[name] = inputs[name]
        if self.has_background:
            streams["background"] = inputs["background"]
        streams, sources = self._check(streams, sources)
        if "video" in streams:
            shown = tf.expand_dims(sources["video"] >= 0, -1)
            streams["video"] = tf.where(shown, streams["video"], 0.0)
        if self.has_background:
            scene = tf.reduce_any(streams["background"] != 0, axis=-1)
            if valid is not None:
                scene &= valid
                shown = tf.expand_dims(valid, -1)
                streams["background"] = tf.where(shown, streams["background"], 0.0)
            first = tf.shape(scene)[1]
            fallback = tf.where(scene, first + tf.range(first), -1)
            missing = sources["video"] < 0
            sources["video"] = tf.where(missing, fallback, sources["video"])
        if "audio" in streams:
            heard = self._heard(streams["audio"], sources["audio"] >= 0, n_ticks)
            streams["audio"] = self.normalised(streams["audio"], heard)
        return self.run(self.finite(streams), sources, valid)

    def predict_complete(self, **inputs: tf.Tensor) -> Tensors:
        """Predicts from features alone: `video` and `audio` as `predict` takes them."""
        margin = self._layout.context_ticks - 1
        first = self.modalities[0]
        shape = tf.shape(inputs[first])
        n_ticks = shape[1] - (margin if first == "audio" else 0)
        present = tf.fill([shape[0], tf.maximum(n_ticks, 0)], True)
        rest = {f"{name}_present": present for name in self.modalities}
        if self.has_background:
            rest["background"] = tf.zeros_like(inputs["video"])
        return self.predict(**inputs, **rest)

    def predict_one(self, **inputs: tf.Tensor) -> Tensors:
        """Predicts from one modality and its presence; there is none of the other."""
        (given,) = [name for name in self.modalities if name in inputs]
        (other,) = [name for name in self.modalities if name != given]
        present = inputs[f"{given}_present"]
        shape = tf.shape(present)
        margin = self._layout.context_ticks - 1 if other == "audio" else 0
        dim = self.features_spec(other).shape[-1]
        nothing = {
            other: tf.zeros([shape[0], shape[1] + margin, dim]),
            f"{other}_present": tf.zeros_like(present),
        }
        if self.has_background and other == "video":
            nothing["background"] = nothing["video"]
        return self.predict(**inputs, **nothing)

    def predict_sources(self, **inputs: tf.Tensor) -> Tensors:
        """Predicts from features and source maps.

        Args:
          **inputs: `video`, `audio`, `background` as in `predict`; `video_source`,
            `audio_source` int32 [B, T], where T + t shows the background at tick t.
            In `audio`, rows of zeros are no sound.

        Returns:
          The outputs, float32 [B, T].
        """
        streams = {name: inputs[name] for name in self.modalities}
        sources = {name: inputs[f"{name}_source"] for name in self.modalities}
        if self.has_background:
            streams["background"] = inputs["background"]
        streams, sources = self._check(streams, sources)
        if "audio" in streams:
            heard = tf.reduce_any(streams["audio"] != 0, axis=-1)
            streams["audio"] = self.normalised(streams["audio"], heard)
        return self.run(self.finite(streams), sources)

    def run(
        self, streams: Tensors, sources: Tensors, valid: tf.Tensor | None = None
    ) -> Tensors:
        """Runs the model itself.

        Args:
          streams: `video`, `background`; `audio` normalised, with zeros where there
            is no sound.
          sources: Source maps int32 [B, T], by modality.
          valid: bool [B, T], False in padding; None if there is none.

        Returns:
          The outputs, float32 [B, T].
        """
        if valid is None:
            valid = tf.ones_like(sources[self.modalities[0]], tf.bool)
        features = {"valid": valid}
        for name in self.modalities:
            features[name] = streams[name]
            features[f"{name}_source"] = sources[name]
        if self.has_background:
            rows = [streams["video"], streams["background"]]
            features["video"] = tf.concat(rows, axis=1)
        predicted = self._body(features)
        return {name: tf.identity(predicted[name], name) for name in self.outputs}

    def normalised(self, audio: tf.Tensor, heard: tf.Tensor) -> tf.Tensor:
        """Returns z-normalised LLDs, zero in rows without sound.

        Args:
          audio: float32 [B, rows, audio_dim].
          heard: bool [B, rows].
        """
        normalised = (audio - self._mean) * self._scale
        return tf.where(tf.expand_dims(heard, -1), normalised, 0.0)

    def finite(self, streams: Tensors) -> Tensors:
        """Returns the streams, unless there is a number that is not finite."""
        if not self._checked:
            return streams
        return {
            name: tf.debugging.check_numerics(one, f"{name} must be finite")
            for name, one in streams.items()
        }

    def _heard(
        self, audio: tf.Tensor, present: tf.Tensor, n_ticks: tf.Tensor
    ) -> tf.Tensor:
        """The rows with sound: of the ticks those that are present.

        Of the margin nothing is known but its values: rows of zeros, as a recording's
        start has them, are no LLDs.
        """
        before = self._layout.context_before
        after = self._layout.context_after
        rows = tf.range(tf.shape(audio)[1])
        stop = tf.expand_dims(n_ticks + before, 1)  # [B, 1]
        in_margin = (rows < before) | ((rows >= stop) & (rows < stop + after))
        heard = tf.pad(present, [[0, 0], [before, after]])
        return heard | (in_margin & tf.reduce_any(audio != 0, axis=-1))

    def _check(self, streams: Tensors, sources: Tensors) -> tuple[Tensors, Tensors]:
        """Returns both, unless their shapes or source maps break a rule."""
        if not self._checked:
            return streams, sources
        margin = self._layout.context_ticks - 1
        first = self.modalities[0]
        shape = tf.shape(sources[first])  # B, T
        checks = [
            require(tf.reduce_all(shape > 0), "there must be a clip with a tick in it")
        ]
        for name, source in sources.items():
            n_sources = shape[1]
            if name == "video" and self.has_background:
                n_sources, rule = shape[1] * 2, "2 T - 1"
            else:
                rule = "T - 1"
            checks += [
                require(
                    tf.reduce_all(tf.equal(tf.shape(source), shape)),
                    f"presence or source of {name} must be [B, T] as for {first}",
                ),
                require(
                    tf.reduce_all((source >= -1) & (source < n_sources)),
                    f"{name}_source must be in -1 .. {rule}",
                ),
            ]
        for name, stream in streams.items():
            n_rows, rule = shape[1], "T"
            if name == "audio" and margin:
                n_rows, rule = shape[1] + margin, f"T + {margin}"
            checks.append(
                require(
                    tf.reduce_all(tf.equal(tf.shape(stream)[:2], [shape[0], n_rows])),
                    f"{name} must be [B, {rule}, columns], where presences or sources "
                    "are [B, T]",
                )
            )
        with tf.control_dependencies(checks):
            return (
                {name: tf.identity(one) for name, one in streams.items()},
                {name: tf.identity(one) for name, one in sources.items()},
            )


def require(condition: tf.Tensor, rule: str) -> tf.Operation:
    """Returns an operation that fails with INVALID_ARGUMENT and names the rule.

    The bare operator, which every reader of graphs knows; TensorFlow's own
    `tf.debugging.assert_...` wrap it in a branch.
    """
    return tf.raw_ops.Assert(condition=condition, data=[rule])


def _spec(name: str, dtype: tf.DType, *dims: int) -> tf.TensorSpec:
    return tf.TensorSpec([None, None, *dims], dtype, name)
