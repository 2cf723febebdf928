"""The curves of a run: `history.csv`, and with figures and settings for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from avexp_tf import config
from avexp_tf import files
from avexp_tf import options
from avexp_tf.training import dev_figures
from avexp_tf.training import progress
from avexp_tf.training import run_dir as run_dirs


class History:
    """Writes one row per epoch, none lost and none twice.

    Args:
      run_dir: Where to; what it holds of settings and figures is shown too.
      rows: Of the epochs that are done; what else is there is of steps that are taken
        again, and is removed.

    Raises:
      errors.DataError: if a file can't be written.
    """

    def __init__(self, run_dir: run_dirs.RunDir, rows: Sequence[progress.Row]):
        self._run_dir = run_dir
        folder = run_dir.tensorboard_path
        files.make_folder(folder)
        for path in folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._writer = tf.summary.create_file_writer(str(folder))
        if rows:
            self._write_table(rows)
        else:
            run_dir.history_path.unlink(missing_ok=True)
        self._write_settings(run_dir.config())
        for row in rows:
            self._write_summary(row)

    def add(self, rows: Sequence[progress.Row]) -> None:
        """Writes the last of all rows."""
        self._write_table(rows)
        self._write_summary(rows[-1])

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._writer.close()

    def _write_table(self, rows: Sequence[progress.Row]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        with files.replacing(self._run_dir.history_path) as file:
            file.write(text.getvalue().encode())

    def _write_summary(self, row: progress.Row) -> None:
        with self._writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                tf.summary.scalar(name, value)
            found = dev_figures.found(self._run_dir.figures_path, int(row["epoch"]))
            for name, content in found.items():
                tf.summary.image(name, tf.image.decode_png(content, channels=3)[None])
        self._writer.flush()

    def _write_settings(self, experiment: config.ExperimentConfig) -> None:
        """Shows the settings beside the curves, to compare runs by."""
        sections = (experiment.data, experiment.model, experiment.train)
        values = {
            name: getattr(section, name)
            for section in sections
            for name in options.field_kinds(type(section))
        }
        shown = {
            name: ",".join(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        with self._writer.as_default(step=0):
            hparams.hparams(shown, trial_id=self._run_dir.path.name)
