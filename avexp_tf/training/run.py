"""The steps of one training run, and the checkpoints that it goes on from.

It can be stopped at any moment, by a signal, an error or a power cut, and the next call
goes on from its last checkpoint; after SIGTERM and Ctrl-C from the very step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import termination
from avexp_tf.data import record_source
from avexp_tf.training import checkpoints as checkpoint_lib
from avexp_tf.training import dev_figures
from avexp_tf.training import history as history_lib
from avexp_tf.training import interval_scores
from avexp_tf.training import learner as learner_lib
from avexp_tf.training import progress as progress_lib
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import scoring
from avexp_tf.training import strategy as strategies

_LOSSES = "losses"


class Run:
    """The state of a run while it goes on.

    Args:
      experiment: All settings.
      run_dir: Where it is kept; it has begun.
      train_source: The train split.
      dev_source: The dev split.
      strategy: Replicas.
      report: Takes the lines that tell the user something.
      data_service: See `pipeline.training_batches`.

    Attributes:
      learner: Model, optimizer and batches.
    """

    def __init__(
        self,
        experiment: config.ExperimentConfig,
        run_dir: run_dirs.RunDir,
        train_source: record_source.RecordSource,
        dev_source: record_source.RecordSource,
        strategy: tf.distribute.Strategy,
        report: Callable[[str], None],
        data_service: str,
    ):
        self._settings = experiment.train
        self._interval = experiment.model.interval
        self._strategy = strategy
        self._run_dir = run_dir
        self._source = train_source
        self._dev_source = dev_source
        self._report = report
        self.learner = learner_lib.Learner(
            experiment, train_source, dev_source, strategy, data_service
        )
        self._checkpoints = checkpoint_lib.Checkpoints(
            run_dir.checkpoints_path,
            {
                "seed": self._settings.seed,
                "schedule": self.learner.schedule,
                "steps_per_epoch": self.learner.steps,
            },
        )
        self._progress = progress_lib.Progress()
        self._losses: list[float] = []  # of the open epoch
        self._epoch_began = time.monotonic()
        self._saved, self._saved_at = self._progress, time.monotonic()
        self._signals = termination.Deferred()

    def finish(self) -> dict[str, Any]:
        """Takes the steps that are left, and returns the result."""
        settings = self._settings
        self._restore()
        self._check_workers()
        history = history_lib.History(self._run_dir, self._progress.rows)
        with contextlib.closing(history), self._signals:
            while self._progress.epoch < settings.epochs:
                if self._progress.out_of_patience(settings.patience):
                    break
                self._epoch()
                history.add(self._progress.rows)
        self._report_lost()
        best = self._progress.best
        if best is None:
            raise errors.RunError(
                f"{self._run_dir.path}: dev CCC was never a number: has dev valid "
                "labels?"
            )
        result = {
            "name": settings.name,
            "best_epoch": best.epoch,
            "best_dev_ccc": best.dev_ccc,
            "epochs": self._progress.epoch,
            "steps": self._progress.step,
            "weights_sha256": best.weights_sha256,
        }
        self._run_dir.finish(result)
        return result

    def _epoch(self) -> None:
        """Trains what is left of the open epoch, and closes it."""
        settings, progress = self._settings, self._progress
        self._epoch_began = time.monotonic() - progress.epoch_secs
        title = f"{settings.name} {progress.epoch + 1}/{settings.epochs}"
        try:
            with tqdm.tqdm(
                total=self.learner.steps,
                initial=progress.epoch_step,
                desc=title,
                unit="step",
            ) as bar:
                if progress.epoch_step < self.learner.steps:
                    self._train(bar)
                dev, factors = self._dev_ccc()
                row = self._row(dev)
                self._draw()
                bar.set_postfix(
                    loss=f"{row['loss']:.3f}", dev_ccc=f"{row['dev_ccc']:.3f}"
                )
        except errors.DataError:
            # The records can't be read any more; no step is lost by that.
            self._save_if_new()
            self._report(f"saved at step {self._progress.step}")
            raise
        self._close_epoch(row, factors)

    def _train(self, bar: tqdm.tqdm) -> None:
        batches = self.learner.train_batches(
            self._progress.epoch, self._progress.epoch_step
        )
        for loss in self.learner.trainer.losses(batches, self._source.reading):
            self._losses.append(loss)
            self._progress = dataclasses.replace(
                self._progress,
                step=self._progress.step + 1,
                epoch_step=self._progress.epoch_step + 1,
            )
            bar.update()
            bar.set_postfix(loss=f"{np.mean(self._losses[-50:]):.3f}", refresh=False)
            self._between_steps()
        if not self._losses:
            raise errors.DataError(
                f"{self._source.data.records}: all records of train are damaged"
            )

    def _dev_ccc(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores the model on dev.

        Returns:
          The CCC of each condition and target, [K, 2], and by what to move the ends of
          its intervals, [4]; None of a model without.
        """
        batches = self._reading_dev(self.learner.dev_batches)
        scores = interval_scores.IntervalScores()
        try:
            ccc = scoring.pooled_ccc(
                batches, self.learner.predictor.predict, scores.add
            )
        except scoring.NotFiniteError as error:
            raise errors.RunError(
                f"step {self._progress.step}: on dev {error}: lower --learning_rate or "
                "set --clip_norm, in another --run_dir"
            ) from None
        # To the bit, since what is best and when to stop follow from it.
        ccc = strategies.agreed(self._strategy, ccc)
        if not self._interval:
            return ccc, None
        factors = scores.factors(self._interval)
        return ccc, strategies.agreed(self._strategy, factors)

    def _reading_dev(self, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in self._dev_source.reading(batches):
            yield batch
            self._between_steps()

    def _draw(self) -> None:
        """Draws the figures that are due after the open epoch."""
        epoch, settings = self._progress.epoch + 1, self._settings
        for every, draw in (
            (settings.figure_epochs, dev_figures.draw_predictions),
            (settings.robustness_epochs, dev_figures.draw_robustness),
        ):
            if every and epoch % every == 0:
                draw(
                    self._run_dir.figures_path,
                    epoch,
                    self._dev_source,
                    self.learner.predictor.predict,
                    self._reading_dev,
                )

    def _row(self, dev: np.ndarray) -> progress_lib.Row:
        # What a model did not learn says nothing about it.
        learned = np.array(self._source.manifest.split("train").label_ticks) > 0
        row: progress_lib.Row = {
            "epoch": self._progress.epoch + 1,
            "step": self._progress.step,
            "loss": float(np.mean(self._losses)),
            "learning_rate": float(self.learner.optimizer.learning_rate),
            "dev_ccc": float(np.nanmean(dev[:, learned])),
        }
        row |= {
            f"dev_{target}": float(dev[0, column])
            for column, target in enumerate(config.TARGETS)
        }
        row |= self.learner.crossmodal_scalars()
        row["seconds"] = time.monotonic() - self._epoch_began
        return row

    def _close_epoch(self, row: progress_lib.Row, factors: np.ndarray | None) -> None:
        progress = self._progress
        epoch, best = progress.epoch + 1, progress.best
        if best is None or row["dev_ccc"] > best.dev_ccc:
            if row["dev_ccc"] == row["dev_ccc"]:  # is a number
                if factors is not None:
                    self.learner.calibrate(factors)
                digest = self._run_dir.save_weights(self.learner.model)
                number = self._checkpoints.next_number
                best = progress_lib.Best(epoch, row["dev_ccc"], number, digest)
        self._progress = dataclasses.replace(
            progress,
            epoch=epoch,
            epoch_step=0,
            epoch_secs=0.0,
            best=best,
            rows=(*progress.rows, row),
        )
        self._losses = []
        self._save()

    def _between_steps(self) -> None:
        """Saves when it is time to, or when the process is told to end."""
        if self._signals.asked:
            self._save_if_new()
            self._report(f"saved at step {self._progress.step}")
            self._signals.raise_if_asked()
        n_steps = self._progress.step - self._saved.step
        n_secs = time.monotonic() - self._saved_at
        settings = self._settings
        if n_steps and (
            (settings.checkpoint_steps and n_steps >= settings.checkpoint_steps)
            or (settings.checkpoint_secs and n_secs >= settings.checkpoint_secs)
        ):
            self._save()

    def _save_if_new(self) -> None:
        if self._progress.step != self._saved.step:
            self._save()

    def _save(self) -> None:
        lost = {**dict.fromkeys(self._progress.lost)}
        for source in (self._source, self._dev_source):
            lost |= dict.fromkeys(source.reader.lost.names)
        progress = dataclasses.replace(self._progress, lost=tuple(lost))
        if progress.epoch_step:
            secs = time.monotonic() - self._epoch_began
            progress = dataclasses.replace(progress, epoch_secs=secs)
        losses = np.asarray(self._losses, np.float64)
        self._checkpoints.save(
            progress, self.learner.variables.arrays() | {_LOSSES: losses}
        )
        self._run_dir.publish()
        self._progress = self._saved = progress
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        """Goes back to the newest checkpoint that is whole, if there is any."""
        numbers = self._checkpoints.numbers
        shapes = self.learner.variables.shapes() | {_LOSSES: (None,)}
        for number in reversed(numbers):
            try:
                progress, arrays = self._checkpoints.load(number, shapes)
                progress = self._with_best_weights(progress, shapes)
            except errors.DataError as error:
                self._report(f"{error}; going back to the checkpoint before")
                continue
            self.learner.variables.assign(arrays)
            self._losses = arrays[_LOSSES].tolist()
            self._progress = self._saved = progress
            self._checkpoints.remove_after(number)
            self._report(
                f"{self._run_dir.path}: goes on after step {progress.step} of "
                f"{self._settings.epochs * self.learner.steps}"
            )
            return
        if numbers:
            raise errors.RunError(
                f"{self._run_dir.path}: all of its checkpoints are damaged; give "
                "--noresume to start again"
            )
        self._checkpoints.remove_after(0)

    def _check_workers(self) -> None:
        """Raises RunError if other workers start elsewhere."""
        step = np.array([self._progress.step], np.float32)
        if strategies.agreed(self._strategy, step) != step:
            raise errors.RunError(
                f"{self._run_dir.path}: this worker is at step {self._progress.step}, "
                "others are not: all must see the same run directory"
            )

    def _with_best_weights(
        self, progress: progress_lib.Progress, shapes: dict[str, Any]
    ) -> progress_lib.Progress:
        """Makes `best.weights.h5` what it was at a checkpoint."""
        best, path = progress.best, self._run_dir.weights_path
        if best is None:
            return progress
        if path.exists() and files.sha256(path) == best.weights_sha256:
            return progress
        _, arrays = self._checkpoints.load(best.checkpoint, shapes)
        self.learner.variables.assign(arrays)
        digest = self._run_dir.save_weights(self.learner.model)
        best = dataclasses.replace(best, weights_sha256=digest)
        return dataclasses.replace(progress, best=best)

    def _report_lost(self) -> None:
        for line in record_source.lost_lines(self._progress.lost):
            self._report(line)
