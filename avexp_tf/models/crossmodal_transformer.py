"""The crossmodal transformer and its one-branch variants, as functional Keras models.

Inputs and outputs are dicts. The audio enters as a stream of LLDs, and a convolution of
the context's width replaces the dense layer on stacked context vectors: the same
numbers and the same arithmetic, with C times less audio to read, copy and send.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from avexp_tf import config
from avexp_tf import outputs as model_outputs
from avexp_tf.models import layers

# Start of the names of all layers that only bounds follow from.
_OF_BOUNDS = "interval_"
_CALIBRATION = f"{_OF_BOUNDS}calibration"
# A tenth of what labels in [-1, 1] may differ by, to start with.
_FIRST_DISTANCE = 0.2


@dataclasses.dataclass(frozen=True)
class InputDims:
    """What the records fix of a model.

    Attributes:
      video: Columns of the video features (the paper: 4096).
      audio: Columns of one LLD row (the paper: 65).
      context_ticks: C, LLD rows behind one audio input vector (the paper: 60).
    """

    video: int = 4096
    audio: int = 65
    context_ticks: int = 60


@keras.saving.register_keras_serializable("avexp_tf")
class CrossmodalTransformer(keras.Model):
    """A functional model that looks in a dict for its own inputs alone.

    So that `fit`, `evaluate` and `predict` of a one-branch variant take the clips that
    every other model takes: Keras goes by the place of an input, not by its name.
    """

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        """Predicts; `inputs` may hold more than the model takes."""
        own = {name: inputs[name] for name in self.input}
        return super().call(own, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Computes the loss; the bounds of a target are held against its labels."""
        labels = _with_bounds(y, y_pred)
        return super().compute_loss(x, labels, y_pred, sample_weight, training)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """Computes the metrics, of labels as in `compute_loss`."""
        labels = _with_bounds(y, y_pred)
        return super().compute_metrics(x, labels, y_pred, sample_weight)


def _with_bounds(labels: Any, predicted: Mapping[str, Any]) -> Any:
    if labels is None or predicted.keys() <= labels.keys():
        return labels
    return {name: labels[model_outputs.target_of(name)] for name in predicted}


def build(
    model_config: config.ModelConfig,
    dims: InputDims,
    precision: str = "float32",
) -> CrossmodalTransformer:
    """Builds the model.

    Args:
      model_config: The network's settings.
      dims: Of its inputs.
      precision: A Keras dtype policy; weights and outputs stay float32.

    Returns:
      A functional model. Inputs, of which a one-branch variant has its own and `valid`:
      `video` float32 [B, T, video], `audio` float32 [B, T + C - 1, audio], normalised,
      `video_source`, `audio_source` int32 [B, T], `valid` bool [B, T]. Outputs
      `valence`, `arousal` float32 [B, T], and with `model_config.interval` their bounds
      `valence_low`, `valence_high`, `arousal_low`, `arousal_high`.
    """
    policy = keras.dtype_policies.DTypePolicy(precision)
    modalities = _modalities(model_config.variant)

    # Inputs.
    inputs: dict[str, Any] = {}
    for name in modalities:
        width = getattr(dims, name)
        inputs[name] = keras.Input((None, width), dtype="float32", name=name)
        inputs[f"{name}_source"] = _source_input(f"{name}_source")
    inputs["valid"] = _valid_input()

    # Branches.
    fusion_inputs = {"valid": inputs["valid"]}
    for name in modalities:
        project = _projection(name, model_config, dims, policy)
        encoder = _encoder(name, model_config, policy)
        source = inputs[f"{name}_source"]
        fusion_inputs[f"{name}_source"] = source
        fusion_inputs[f"{name}_encoding"] = encoder(
            {
                "projected": project(inputs[name]),
                "source": source,
                "valid": inputs["valid"],
            }
        )

    # Fusion and head.
    fusion = _fusion(modalities, model_config, policy)
    outputs = fusion({name: fusion_inputs[name] for name in fusion.input})
    return CrossmodalTransformer(inputs, outputs, name="crossmodal_transformer")


def learns_bounds(variable: keras.Variable) -> bool:
    """Tells whether a weight of the model is one that only bounds follow from."""
    return variable.path.startswith(_OF_BOUNDS)


def calibrate(model: keras.Model, factors: np.ndarray) -> None:
    """Moves the ends of all intervals.

    Args:
      model: With intervals.
      factors: By what to multiply the distance of each end from the estimate, float
        [4] in the order of `outputs.BOUNDS`.
    """
    weight = model.get_layer("fusion").get_layer(_CALIBRATION).log_factors
    weight.assign(weight + np.log(factors))


def _modalities(variant: str) -> tuple[str, ...]:
    if variant == "audio_visual":
        return config.MODALITIES
    return (variant.removesuffix("_only"),)


def _source_input(name: str) -> Any:
    return keras.Input((None,), dtype="int32", name=name)


def _valid_input() -> Any:
    return keras.Input((None,), dtype="bool", name="valid")


def _mask(source: Any, valid: Any, model_config: config.ModelConfig) -> Any:
    """The ticks of a modality that may be attended to: never padding."""
    if not model_config.ignore_missing:
        return valid
    received = ops.logical_and(valid, ops.greater_equal(source, 0))
    # Where nothing was received there is nothing to prefer: else attention, which must
    # add up to 1, would fall on the padding too.
    nothing = ops.logical_not(ops.any(received, axis=1, keepdims=True))
    return ops.logical_and(valid, ops.logical_or(received, nothing))


def _projection(
    name: str,
    model_config: config.ModelConfig,
    dims: InputDims,
    policy: keras.DTypePolicy,
) -> keras.layers.Layer:
    """The linear map of a modality's input, without its bias: see FrameSelect."""
    settings = {"use_bias": False, "dtype": policy, "name": f"{name}_projection"}
    if name == "video":
        return keras.layers.Dense(model_config.d_model, **settings)
    return keras.layers.Conv1D(model_config.d_model, dims.context_ticks, **settings)


def _encoder(
    name: str, model_config: config.ModelConfig, policy: keras.DTypePolicy
) -> keras.Model:
    """One branch after its projection: source map, positions, encoder layers."""
    projected = keras.Input(
        (None, model_config.d_model), dtype=policy.compute_dtype, name="projected"
    )
    source = _source_input("source")
    valid = _valid_input()
    mask = _mask(source, valid, model_config)
    x = layers.FrameSelect(
        model_config.missing_embedding, dtype=policy, name=f"{name}_select"
    )(projected, source)
    if model_config.positions == "sinusoidal":
        x = layers.SinusoidalPositions(dtype=policy, name=f"{name}_positions")(x)
    for index in range(model_config.num_layers):
        x = layers.EncoderLayer(
            model_config.num_heads,
            model_config.ff_dim,
            model_config.dropout,
            model_config.norm,
            model_config.activation,
            model_config.scale_attention,
            model_config.positions == "distance",
            dtype=policy,
            name=f"{name}_layer_{index + 1}",
        )(x, key_mask=mask)
    if not model_config.num_layers:
        # Without attention nothing else would follow from `valid`.
        x = x * ops.expand_dims(ops.cast(valid, x.dtype), -1)
    if model_config.norm == "pre":
        x = layers.LayerNormalization(epsilon=1e-6, dtype=policy, name=f"{name}_norm")(
            x
        )
    return keras.Model(
        {"projected": projected, "source": source, "valid": valid},
        x,
        name=f"{name}_encoder",
    )


def _fusion(
    modalities: tuple[str, ...],
    model_config: config.ModelConfig,
    policy: keras.DTypePolicy,
) -> keras.Model:
    """The crossmodal layer, where there are two branches, and the heads."""
    valid = _valid_input()
    sources = {name: _source_input(f"{name}_source") for name in modalities}
    inputs: dict[str, Any] = {
        f"{name}_encoding": keras.Input(
            (None, model_config.d_model),
            dtype=policy.compute_dtype,
            name=f"{name}_encoding",
        )
        for name in modalities
    }
    # Keras refuses inputs that nothing follows from.
    if len(modalities) == 2 or model_config.interval:
        inputs["valid"] = valid
    if (len(modalities) == 2 and model_config.ignore_missing) or model_config.interval:
        inputs |= {f"{name}_source": source for name, source in sources.items()}
    if len(modalities) == 2:
        masks = {name: _mask(sources[name], valid, model_config) for name in modalities}
        fused = layers.Crossmodal(
            model_config.num_heads,
            model_config.dropout,
            model_config.scale_attention,
            model_config.positions == "distance",
            model_config.crossmodal_init,
            dtype=policy,
            name="crossmodal",
        )(
            inputs["video_encoding"],
            inputs["audio_encoding"],
            video_key_mask=masks["video"],
            audio_key_mask=masks["audio"],
        )
    else:
        fused = inputs[f"{modalities[0]}_encoding"]
    outputs = {}
    for target in config.TARGETS:
        column = keras.layers.Dense(
            1,
            activation=model_config.head_activation,
            dtype="float32",
            name=f"{target}_head",
        )(fused)
        outputs[target] = ops.squeeze(column, axis=-1)  # [B, T]
    if model_config.interval:
        outputs |= _bounds(fused, outputs, sources, valid)
    return keras.Model(inputs, outputs, name="fusion")


def _bounds(
    fused: Any, estimates: Mapping[str, Any], sources: Mapping[str, Any], valid: Any
) -> dict[str, Any]:
    """The ends of each estimate's interval, from which no gradient goes further.

    So the estimates are those of a model without. What arrived is told apart from what
    it looked like: where a model learned to fill gaps, its features hide them.
    """
    arrivals = [
        layers.Arrivals(dtype="float32", name=f"{name}_arrivals")(source, valid)
        for name, source in sources.items()
    ]
    features = ops.concatenate(
        [ops.stop_gradient(ops.cast(fused, "float32")), *arrivals], axis=-1
    )
    hidden = keras.layers.Dense(
        fused.shape[-1], "relu", dtype="float32", name=f"{_OF_BOUNDS}hidden"
    )(features)
    distances = keras.layers.Dense(
        len(model_outputs.BOUNDS),
        "softplus",
        bias_initializer=keras.initializers.Constant(
            math.log(math.expm1(_FIRST_DISTANCE))
        ),
        dtype="float32",
        name=f"{_OF_BOUNDS}distances",
    )(hidden)
    distances = layers.Calibration(dtype="float32", name=_CALIBRATION)(distances)
    found = {}
    for column, name in enumerate(model_outputs.BOUNDS):
        distance = distances[..., column]
        estimate = ops.stop_gradient(estimates[model_outputs.target_of(name)])
        found[name] = estimate + (-distance if name.endswith("low") else distance)
    return found
