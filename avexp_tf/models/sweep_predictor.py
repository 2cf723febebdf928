"""Predicts clips under many source maps, computing nothing twice.

Clips are read once. Each distinct source map of a clip is encoded once per modality,
and each distinct pair is fused once: the other branch's encoding, the unablated pass,
Clip-Zero at every p and with every loss seed all come out of this rule alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avexp_tf import config
from avexp_tf import outputs


class SweepPredictor:
    """Runs one model's projections, encoders and fusion apart from each other.

    Args:
      model: Of `crossmodal_transformer.build`.
      chunk_clips: Clips encoded or fused at a time.

    Attributes:
      modalities: Those that the model takes.
    """

    def __init__(self, model: keras.Model, chunk_clips: int = 64):
        names = {layer.name for layer in model.layers}
        self.modalities = [
            name for name in config.MODALITIES if f"{name}_encoder" in names
        ]
        self._chunk_clips = chunk_clips
        self._project = {
            name: _function(model.get_layer(f"{name}_projection"))
            for name in self.modalities
        }
        self._encode = {
            name: _function(model.get_layer(f"{name}_encoder"))
            for name in self.modalities
        }
        self._fuse = _function(model.get_layer("fusion"))

    def predict(self, batch: Mapping[str, Any]) -> np.ndarray:
        """Predicts one batch of `pipeline.evaluation_batches`.

        Args:
          batch: `video`, `audio`, `valid` [B, T], and per modality the source maps
            int32 [B, K, T].

        Returns:
          float32 [B, K, T, 2]: valence and arousal; [B, K, T, 6] with bounds.
        """
        valid = np.asarray(batch["valid"])
        n_clips, n_maps, n_ticks = np.shape(batch[f"{self.modalities[0]}_source"])
        clip_of_cell = np.repeat(np.arange(n_clips), n_maps)
        pair = np.empty((n_clips * n_maps, len(self.modalities)), np.int64)
        encodings: dict[str, tf.Tensor] = {}
        sources: dict[str, np.ndarray] = {}
        for column, name in enumerate(self.modalities):
            maps = np.asarray(batch[f"{name}_source"]).reshape(-1, n_ticks)
            cells, pair[:, column] = _unique_rows(
                np.column_stack([clip_of_cell, maps]).astype(np.int32)
            )
            clips, sources[name] = cells[:, 0], cells[:, 1:]
            projected = self._project[name](batch[name])
            encodings[name] = self._in_chunks(
                self._encode[name],
                len(cells),
                lambda at, c=clips, p=projected, s=sources[name]: {
                    "projected": tf.gather(p, c[at]),
                    "source": s[at],
                    "valid": valid[c[at]],
                },
            )
        # A clip is part of each of its cells, so equal pairs are of the same clip.
        first, inverse = _first_of_each(pair)
        unique = pair[first]
        predicted = self._in_chunks(
            self._fuse,
            len(unique),
            lambda at: (
                {"valid": valid[clip_of_cell[first[at]]]}
                | {
                    f"{name}_encoding": tf.gather(encodings[name], unique[at, column])
                    for column, name in enumerate(self.modalities)
                }
                | {
                    f"{name}_source": sources[name][unique[at, column]]
                    for column, name in enumerate(self.modalities)
                }
            ),
        )
        values = outputs.stacked(predicted)
        return values[inverse].reshape(n_clips, n_maps, n_ticks, values.shape[-1])

    def _in_chunks(self, function: Any, count: int, inputs_at: Any) -> Any:
        parts = []
        for start in range(0, count, self._chunk_clips):
            at = np.arange(start, min(start + self._chunk_clips, count))
            parts.append(function(inputs_at(at)))
        return tf.nest.map_structure(lambda *p: tf.concat(p, axis=0), *parts)


def _function(layer: keras.layers.Layer) -> Any:
    """A layer as a graph, traced here and once, for any number of clips."""
    if not isinstance(layer, keras.Model):  # a projection
        dtype = tf.as_dtype(layer.compute_dtype)
        spec = tf.TensorSpec([None, None, layer.kernel.shape[-2]], dtype)
        project = tf.function(
            lambda inputs: layer(inputs), autograph=False
        ).get_concrete_function(spec)
        return lambda inputs: project(tf.cast(inputs, dtype))
    specs = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in layer.input.items()}
    run = tf.function(lambda inputs: layer(inputs, training=False), autograph=False)
    run = run.get_concrete_function(specs)
    return lambda inputs: run(
        {name: tf.convert_to_tensor(inputs[name]) for name in specs}
    )


def _unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct rows and, for each row, the index of its like."""
    first, inverse = _first_of_each(rows)
    return rows[first], inverse


def _first_of_each(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each distinct row comes first, and which of them each row is."""
    # Compared as one block of bytes per row: far faster than np.unique by axis.
    rows = np.ascontiguousarray(rows)
    blocks = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, inverse = np.unique(blocks, return_index=True, return_inverse=True)
    return first, inverse
