"""Writes the file that the ABAW challenges on Aff-Wild2 ask for.

    avexp-evaluate --run_dir=runs/my/baseline --split=test --conditions=none \
        --predictions=runs/my/test.csv --out=runs/my/test
    avexp-submit --predictions=runs/my/test.csv --out=runs/my/predictions.txt \
        --frames=VA_test_set_sample.txt

--frames is the challenge's list of frames: exactly these are written, in its order, and
-5 for those without a prediction. --per_recording writes a folder with one file per
recording instead, as the first two challenges took it.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags
from avexp_tf.corpora.affwild2 import submission


def define_flags() -> None:
    """Defines the flags of this command."""
    for name, text in (
        ("predictions", "CSV file of avexp-evaluate --predictions, of one model."),
        ("out", "The file to write, or with --per_recording the folder."),
        ("frames", "List of the frames that the challenge wants."),
    ):
        avexp_flags.define_one(name, "", text)
    avexp_flags.define_one("per_recording", False, "One file per recording.")
    avexp_flags.define_one(
        "overwrite", False, "--per_recording: replace files that are there."
    )


def main(argv: Sequence[str]) -> None:
    """Reads the flags and writes the submission."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("predictions", "out")
    if values.frames and values.per_recording:
        raise errors.ConfigError(
            "--frames can't go with --per_recording: the list is of the one file"
        )
    predictions = submission.read_predictions(values.predictions)
    inputs = {"predictions": values.predictions, "frames": values.frames}
    if values.per_recording:
        for name in predictions:
            path = submission.path_of(values.out, name)
            files.check_apart(path, "out", **inputs)
            if path.exists() and not values.overwrite:  # annotations look the same
                raise errors.DataError(
                    f"{path}: is there already; choose another --out, or replace files "
                    "with --overwrite"
                )
        report = submission.write_folder(predictions, values.out)
    else:
        files.check_apart(values.out, "out", **inputs)
        submission.check_file(values.out)
        frames = submission.read_frames(values.frames) if values.frames else None
        report = submission.write_file(predictions, values.out, frames)
    print(
        f"{values.out}: {report.n_recordings} recordings, {report.n_frames} frames, "
        f"{report.n_missing} of them without a prediction (-5)"
    )
    if report.unlisted:
        shown = ", ".join(report.unlisted[:5])
        print(f"note: --frames doesn't name {len(report.unlisted)}, such as {shown}")


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
