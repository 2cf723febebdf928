"""Predicts many media files, each into a table, a plot and if wanted an overlay."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import runtime
from avexp_tf.features import timeline
from avexp_tf.media import probe
from avexp_tf.serving import client as clients
from avexp_tf.serving import media_features
from avexp_tf.serving import media_predictor
from avexp_tf.serving import media_results
from avexp_tf.serving import model_source
from avexp_tf.serving import overlay as overlay_lib
from avexp_tf.serving import prediction_plot
from avexp_tf.serving import prediction_table
from avexp_tf.serving import transport


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is needed to make a `MediaJob`; small, so that it can be sent elsewhere.

    Attributes:
      model: Path of an export, a folder of exports, or a run directory.
      out_dir: Folder of the results.
      plot: Whether to draw `.png`.
      overlay: Whether to write `.overlay.mp4`.
      overwrite: Predict again what is there already, and replace files that are in the
        way of results.
      eval_stride: Ticks between clips; 0 as in training.
      visual_backbone: See `media_features.feature_config`.
      visual_weights: See `media_features.feature_config`.
      threads: CPU threads of TensorFlow; 0 takes all cores.
      server: Instead of a model on disk, the address of a server; see `client.Client`.
      server_model: The model's name there.
    """

    model: str
    out_dir: str
    plot: bool = True
    overlay: bool = False
    overwrite: bool = False
    eval_stride: int = 0
    visual_backbone: str = ""
    visual_weights: str = ""
    threads: int = 0
    server: str = ""
    server_model: str = transport.ModelName.name

    def start(self) -> None:
        """Sets TensorFlow up; to be called once, in a process of the job's own."""
        runtime.configure(self.threads)

    def check(self, paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
        """Returns which files to predict; see `media_results.check`."""
        kinds = _kinds(self.plot, self.overlay)
        out_dir = pathlib.Path(self.out_dir)
        return media_results.check(out_dir, paths, kinds, self.overwrite)

    def job(self) -> MediaJob:
        """Loads the model and the networks.

        Raises:
          errors.AvexpError: if they are not there, or don't fit to each other.
        """
        source: clients.Client | model_source.ModelSource
        check_model: Callable[[], None] = _never_changes
        if self.server:
            name = transport.ModelName(self.server_model)
            source = clients.Client(self.server, name).pinned()
            manifest = source.manifest()
            check_model = source.check_unchanged
        else:
            source = model_source.find(self.model)
            manifest = source.manifest
        extractor = media_features.extractor(
            manifest, self.visual_backbone, self.visual_weights
        )
        clock = media_features.clock(manifest)
        predictor = source.predictor(self.eval_stride)
        return MediaJob(
            media_predictor.MediaPredictor(predictor, extractor, clock),
            {
                "sha256": source.digest(),
                "clip_ticks": predictor.data.clip_ticks,
                "eval_stride": predictor.data.eval_stride,
                "clock": clock,
            },
            pathlib.Path(self.out_dir),
            self.plot,
            self.overlay,
            self.overwrite,
            check_model,
        )


def _never_changes() -> None:
    """What is on disk was loaded once."""


@dataclasses.dataclass(frozen=True)
class MediaJob:
    """What becomes of every file.

    Attributes:
      predictor: Of the model.
      model: What the predictions follow from besides the file, JSON; a file that was
        predicted with the same is not predicted again.
      out_dir: Folder of the results; they are named as the media file.
      plot: Whether to draw `.png`.
      overlay: Whether to write `.overlay.mp4`.
      overwrite: Predict again what is there already, and replace files that are in the
        way of results.
      check_model: Raises if what predicts is another model by now; called before a
        table takes its name.
    """

    predictor: media_predictor.MediaPredictor
    model: dict[str, Any]
    out_dir: pathlib.Path
    plot: bool = True
    overlay: bool = False
    overwrite: bool = False
    check_model: Callable[[], None] = _never_changes

    def predict_file(self, path: pathlib.Path) -> str:
        """Predicts one file.

        Args:
          path: The file.

        Returns:
          The line that sums it up.

        Raises:
          errors.AvexpError: if the file can't be used, or the results not be written.
        """
        files.make_folder(self.out_dir)
        kinds = _kinds(self.plot, self.overlay)
        results = media_results.MediaResults(self.out_dir, path)
        results.check(kinds, self.overwrite)
        made = {kind: results.paths[kind] for kind in kinds}
        info = probe.probe(path)
        digest = files.fingerprint(path)
        key = {"file": path.name, "fingerprint": digest, "model": self.model}
        done = results.summary.get("key") == key and made["csv"].exists()
        if not done or self.overwrite:
            self._table(path, info, results, key)
        results.extend(kinds)
        summary = results.summary
        if "plot" in made and not made["plot"].exists():
            chunks = prediction_table.read(made["csv"], timeline.TICK_RATE_HZ * 60)
            prediction_plot.draw(chunks, path.name, made["plot"])
        if "overlay" in made and not made["overlay"].exists():
            with tqdm.tqdm(
                total=summary["n_ticks"], unit="tick", desc=f"{path.name}, overlay"
            ) as bar:
                overlay_lib.write(path, made["csv"], made["overlay"], bar.update)
        return _line(path, summary, made)

    def _table(
        self,
        path: pathlib.Path,
        info: probe.MediaInfo,
        results: media_results.MediaResults,
        key: dict[str, Any],
    ) -> None:
        n_expected = None
        if info.duration_secs:
            n_expected = round(info.duration_secs * timeline.TICK_RATE_HZ)
        counts = np.zeros(3, int)
        sums = np.zeros(len(config.TARGETS))
        with (
            tqdm.tqdm(total=n_expected, unit="tick", desc=path.name) as bar,
            prediction_table.writing(
                results.paths["csv"], self.predictor.outputs
            ) as write,
        ):
            for ticks in self.predictor.predict(
                path,
                report=lambda line: tqdm.tqdm.write(f"note: {line}", file=sys.stderr),
                on_ticks=bar.update,
            ):
                write(ticks)
                present = [ticks.video_present.sum(), ticks.audio_present.sum()]
                counts += [len(ticks), *present]
                sums += ticks.values.sum(axis=0, dtype=np.float64)
            means = (sums / counts[0]).tolist()
            summary = {
                "key": key,
                "n_ticks": int(counts[0]),
                "video_present": float(counts[1] / counts[0]),
                "audio_present": float(counts[2] / counts[0]),
                "mean": dict(zip(config.TARGETS, means, strict=True)),
            }
            self.check_model()
            # The table takes its name when this block ends.
            results.start(_kinds(self.plot, self.overlay), summary)


def check_names(paths: Sequence[pathlib.Path]) -> None:
    """Checks that no two files have the same name before the suffix.

    Raises:
      errors.DataError: naming the two.
    """
    stems: dict[str, pathlib.Path] = {}
    for path in paths:
        other = stems.setdefault(path.stem, path)
        if other != path:
            raise errors.DataError(
                f"{path}: has the same name as {other}, and the results are named by "
                "it: give them different --out folders"
            )


def _kinds(plot: bool, overlay: bool) -> list[str]:
    wanted = {"csv": True, "plot": plot, "overlay": overlay}
    return [kind for kind, is_wanted in wanted.items() if is_wanted]


def _line(
    path: pathlib.Path, summary: dict[str, Any], made: dict[str, pathlib.Path]
) -> str:
    means = ", ".join(
        f"{target} {summary['mean'][target]:+.2f}" for target in config.TARGETS
    )
    return (
        f"{path.name}: {summary['n_ticks']} ticks, video {summary['video_present']:.0%}"
        f", audio {summary['audio_present']:.0%}, mean {means}: "
        f"{' '.join(os.fspath(one) for one in made.values())}"
    )
