"""Predicts valence and arousal in video and sound files.

    avexp-predict video.mp4 --model=runs/demo/export --out=runs/predictions --overlay
    avexp-predict video.mp4 --server=localhost:8500

--model is an export (or the folder above its versions: the newest is taken) or a run
directory; --server is the address of a server that runs it: host:port for gRPC,
http://host:port for REST. Pictures and sounds go through what the model's own records
went through. Of every file become, named like it: .csv with one line per tick (time,
valence, arousal, what is present, the face's box, the detector's score), .png with the
same as curves, .json with the summary, and with --overlay an annotated .overlay.mp4.
Files, folders and patterns can be given. What is there already is not predicted again.
What is in the way and is no result of an earlier run is replaced with --overwrite only;
what is to be predicted, never.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime


def define_flags() -> None:
    """Defines the flags of this command."""
    runtime.define_flags()
    for name, default, text in (
        ("model", "", "Export, folder of exports, or run directory."),
        ("server", "", "Instead, a server: host:port, or http://host:port."),
        ("server_model", "avexp", "Name of the model there."),
        ("out", "predictions", "Folder for the results."),
        (
            "visual_backbone",
            "",
            "onnx:PATH of the network that the model describes faces by, where it is "
            "not among the weights.",
        ),
        (
            "visual_weights",
            "",
            "VGG-Face's weights, where they are not those that avexp-weights keeps.",
        ),
        ("overlay", False, "Also write an annotated video."),
        ("plot", True, "Draw the curves."),
        (
            "overwrite",
            False,
            "Predict again what is there already, and replace files in the way.",
        ),
        ("eval_stride", 0, "Ticks between clips; 0 as in training."),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and predicts the files that the command line names."""
    values = flags.FLAGS
    if len(argv) < 2:
        raise errors.ConfigError("no file is given; see --help")
    if not values.model and not values.server:
        raise errors.ConfigError("--model or --server must be given; see --help")
    if values.model and values.server:
        raise errors.ConfigError(
            f"--model={values.model} --server={values.server}: give one of the two"
        )
    for name, value in (
        ("eval_stride", values.eval_stride),
        ("threads", values.threads),
    ):
        if value < 0:
            raise errors.ConfigError(f"--{name}={value}: must be at least 0")
    from avexp_tf.corpora.media import corpus as media_corpus
    from avexp_tf.serving import guarded_job
    from avexp_tf.serving import media_job

    paths = media_corpus.find(argv[1:], flag="")
    # Other commands define the next two with defaults of their own.
    backbone, weights = (
        str(values[name].value) if values[name].present else ""
        for name in ("visual_backbone", "visual_weights")
    )
    settings = media_job.Settings(
        values.model,
        values.out,
        values.plot,
        values.overlay,
        values.overwrite,
        values.eval_stride,
        backbone,
        weights,
        values.threads,
        values.server,
        values.server_model,
    )
    rest = settings.check(paths)
    for path in set(paths).difference(rest):
        print(f"note: {path}: left out, a result of an earlier run", file=sys.stderr)
    return 2 if guarded_job.run(settings, rest) else 0


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
