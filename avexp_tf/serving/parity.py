"""The gate: what is shipped must predict what the Keras model predicts.

Real records under every loss pattern go through the model and through each candidate
made of it; the differences, and what they cost in CCC, are held against an allowance.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.data import condition as conditions
from avexp_tf.data import manifest as manifests
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.models import sweep_predictor
from avexp_tf.objectives import moments
from avexp_tf.serving import export_config
from avexp_tf.serving import parity_result
from avexp_tf.serving import requests
from avexp_tf.serving import signatures

_LOSS_SEED = 1
_FACE_LOST = "video:face_zero:0.5"  # of models that show the scene instead


def measure(
    model: keras.Model,
    candidates: Sequence[parity_result.Candidate],
    source: record_source.RecordSource,
    tested: Sequence[str] = export_config.CONDITIONS,
    max_recordings: int = 0,
    latency_rounds: int = 20,
) -> parity_result.Parity:
    """Compares candidates with the model that they were made of.

    Args:
      model: The Keras model.
      candidates: What to compare.
      source: The split to compare on.
      tested: Conditions.
      max_recordings: Stop after so many recordings; 0 reads all.
      latency_rounds: Clips to time per candidate; all take turns.

    Returns:
      What was found; a candidate that can't be run has failed.
    """
    tested = [*tested]
    if source.manifest.has_background:
        tested.append(_FACE_LOST)
    gate = _Gate(model, candidates, source.manifest, tested)
    sweep = [(((conditions.parse(text),),), _LOSS_SEED) for text in tested]
    batches = pipeline.evaluation_batches(source, sweep, max_recordings)
    with tqdm.tqdm(desc="parity", unit="clip") as bar:
        for tensors in source.reading(batches):
            batch = {name: tensor.numpy() for name, tensor in tensors.items()}
            for part in _of_one_length(batch):
                gate.add(part)
                bar.update(len(part["valid"]))
    if not gate.n_clips:
        raise errors.DataError(
            f"{source.data.records}: the split {source.split} has no clip to compare on"
        )
    return parity_result.Parity(
        rows=tuple(gate.rows()),
        candidates=tuple(candidates),
        latency_ms=gate.latency_ms(latency_rounds),
        n_clips=gate.n_clips,
        clip_ticks=source.data.clip_ticks,
        split=source.split,
        broken=gate.broken,
    )


def _of_one_length(batch: requests.Arrays) -> Iterator[requests.Arrays]:
    """Yields parts of a batch without padding, which no signature has a word for."""
    lengths = batch["valid"].sum(axis=1)
    full = batch["valid"].shape[1]
    margin = batch["audio"].shape[1] - full
    for length in np.unique(lengths):
        part = {name: values[lengths == length] for name, values in batch.items()}
        cut = int(length)
        # With a background its rows follow those of the faces.
        halves = range(0, part["video"].shape[1], full)
        part["video"] = np.concatenate(
            [part["video"][:, start : start + cut] for start in halves], axis=1
        )
        source = part["video_source"]
        part["video_source"] = np.where(source >= full, source - full + cut, source)
        for name in ("valid", "labels"):
            part[name] = part[name][:, :cut]
        for name in ("audio", "audio_row_present"):
            part[name] = part[name][:, : cut + margin]
        for name in config.MODALITIES:
            part[f"{name}_source"] = part[f"{name}_source"][..., :cut]
        yield part


@dataclasses.dataclass
class _Sum:
    """What adds up over batches, for one candidate, signature and condition."""

    largest: float = 0.0
    total: float = 0.0
    count: int = 0
    moments: Any = None

    def add(
        self, predicted: np.ndarray, expected: np.ndarray, labels: np.ndarray
    ) -> None:
        gap = np.abs(predicted - expected)
        # np.maximum keeps a NaN, max() might not.
        self.largest = float(np.maximum(self.largest, gap.max()))
        self.total += float(gap.sum())
        self.count += gap.size
        self.moments = _merged(self.moments, _moments(predicted, labels))


class _Gate:
    def __init__(
        self,
        model: keras.Model,
        candidates: Sequence[parity_result.Candidate],
        manifest: manifests.Manifest,
        tested: list[str],
    ):
        self.n_clips = 0
        self.broken: dict[str, str] = {}
        self._run = tf.function(
            lambda inputs: model(inputs, training=False),
            reduce_retracing=True,
            autograph=False,
        )
        self._sweep = sweep_predictor.SweepPredictor(model)
        self._candidates = candidates
        self._manifest = manifest
        self._tested = tested
        self._sums: dict[tuple[str, str, int], _Sum] = {}
        self._keras: dict[tuple[str, int], Any] = {}
        self._clip: dict[str, requests.Arrays] = {}
        self._inputs: dict[str, Any] = {}

    def add(self, batch: requests.Arrays) -> None:
        self.n_clips += len(batch["valid"])
        if not self._inputs:  # what is timed, whatever is compared
            request, inputs = self._by_presence(batch, 0)
            self._clip[signatures.DEFAULT] = _first_clip(request)
            self._inputs = _first_clip(inputs)
        by_sources = self._sweep.predict(batch)
        for k, text in enumerate(self._tested):
            request = requests.of_sources(batch, k, self._manifest)
            self._compare(
                signatures.SOURCES, k, request, by_sources[:, k], batch["labels"]
            )
            if "repeat" in text:
                continue  # presence has no word for it
            request, inputs = self._by_presence(batch, k)
            expected = outputs.stacked(self._run(inputs))
            self._compare(signatures.DEFAULT, k, request, expected, batch["labels"])

    def _by_presence(
        self, batch: requests.Arrays, k: int
    ) -> tuple[requests.Arrays, requests.Arrays]:
        """The request of a condition, and what Keras takes for it."""
        return (
            requests.of_presence(batch, k, self._manifest),
            requests.presence_inputs(batch, k, self._manifest.layout),
        )

    def _compare(
        self,
        signature: str,
        k: int,
        request: requests.Arrays,
        expected: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        self._clip.setdefault(signature, _first_clip(request))
        key = (signature, k)
        part = _moments(expected, labels)
        self._keras[key] = _merged(self._keras.get(key), part)
        for candidate in self._candidates:
            if signature not in candidate.signatures or candidate.name in self.broken:
                continue
            try:
                predicted = candidate.call(signature, request)
            except Exception as error:  # whatever it is, it has failed
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                self.broken[candidate.name] = f"{self._tested[k]}: {reason}"
                continue
            one = self._sums.setdefault((candidate.name, *key), _Sum())
            one.add(predicted, expected, labels)

    def rows(self) -> Iterator[parity_result.Row]:
        allowances = {one.name: one.allowance for one in self._candidates}
        order = [candidate.name for candidate in self._candidates]
        found = sorted(self._sums.items(), key=lambda item: order.index(item[0][0]))
        for (name, signature, k), one in found:
            expected = moments.ccc_of(self._keras[signature, k])
            # Without a valid label there is no CCC, and nothing that could drop.
            drops = np.nan_to_num(expected - moments.ccc_of(one.moments), nan=0.0)
            if not np.isfinite(one.largest):
                drops = np.full_like(drops, np.inf)
            yield parity_result.Row(
                candidate=name,
                signature=signature,
                condition=self._tested[k],
                largest=one.largest,
                mean=one.total / one.count,
                keras_ccc=_by_target(expected),
                ccc_drop=_by_target(drops),
                passed=allowances[name].holds(one.largest, drops.tolist()),
            )

    def latency_ms(self, rounds: int) -> dict[str, float]:
        """Median milliseconds of one clip, all taking turns."""
        calls: dict[str, Callable[[], Any]] = {"keras": lambda: self._run(self._inputs)}
        for candidate in self._candidates:
            if candidate.name not in self.broken:
                calls[candidate.name] = self._call_of(candidate)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(rounds + 1):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                if turn:  # the first one pays for what is made on first use
                    times[name].append((time.perf_counter() - began) * 1e3)
        return {name: statistics.median(found) for name, found in times.items()}

    def _call_of(self, candidate: parity_result.Candidate) -> Callable[[], Any]:
        signature = candidate.signatures[0]
        return lambda: candidate.call(signature, self._clip[signature])


def _first_clip(values: requests.Arrays) -> requests.Arrays:
    return {name: value[:1] for name, value in values.items()}


def _moments(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Moments [2, 6] of a batch; clips are as good as one long recording."""
    n_targets = labels.shape[-1]
    estimates = predicted[..., :n_targets]
    flat = np.moveaxis(labels, -1, 0).reshape(n_targets, -1)
    return moments.moments_of(flat, np.moveaxis(estimates, -1, 0).reshape(flat.shape))


def _merged(total: np.ndarray | None, part: np.ndarray) -> np.ndarray:
    return part if total is None else moments.merge(total, part)


def _by_target(values: np.ndarray) -> dict[str, float]:
    return dict(zip(config.TARGETS, values.tolist(), strict=True))
