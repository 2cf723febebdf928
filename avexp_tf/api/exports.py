"""Ships a model, and predicts with what was shipped or trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from avexp_tf import arguments
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import quiet

if TYPE_CHECKING:  # heavy, or needing TensorFlow
    import pathlib

    import pandas as pd

    from avexp_tf import recording


def export(
    run_dir: arguments.Path, out: arguments.Path, **settings: Any
) -> pathlib.Path:
    """Writes the next version of a model: a SavedModel, and LiteRT files beside it.

    As `avexp-export` does, with normalisation and presence flags inside, if on records
    under every loss pattern it predicts what the Keras model predicts. Prints which
    LiteRT files were left out because they lose too much.

    Args:
      run_dir: Of a training.
      out: Folder of the versions, as TensorFlow Serving reads it.
      **settings: By the names of the flags (`avexp-export --help`), such as
        `litert=("float32",)`; `litert=()` converts none, which is quicker.

    Returns:
      The folder of the new version, `out/1`, `out/2` and so on.

    Raises:
      errors.ConfigError: if a setting is unknown or breaks its rule.
      errors.RunError: if the run has no weights, or what was exported does not predict
        the same, and nothing was written.
      errors.DataError: if the records can't be used, or the folder can't be written.
    """
    from avexp_tf.serving import export_config

    kinds = (
        export_config.ExportConfig,
        export_config.GateConfig,
        export_config.LiteRtConfig,
    )
    for name in ("litert", "conditions"):
        if name in settings:
            settings[name] = arguments.texts(name, settings[name])
    content, gate, variants = arguments.sections(kinds, settings)
    run_dir, out = arguments.path("run_dir", run_dir), arguments.path("out", out)
    quiet.start_tensorflow()
    from avexp_tf.serving import shipping

    shipped = shipping.ship(
        run_dir, out, content, gate, variants.variants, report=print
    )
    for name, reason in shipped.left_out.items():
        print(f"left out: {name}: {reason}")
    if shipped.path is None:
        raise errors.RunError(
            f"{run_dir}: nothing was written: the export does not predict what the "
            "model does"
        )
    return shipped.path


def predict(
    model: arguments.Path,
    inputs: arguments.Path | recording.Block | Sequence[arguments.Path],
    *,
    visual_backbone: str = "",
    visual_weights: str = "",
    eval_stride: int = 0,
) -> pd.DataFrame:
    """Predicts media files, or features that are in memory.

    What is damaged in a file is left out, and said in a line on stderr.

    Args:
      model: An export or a run directory.
      inputs: Files, folders or patterns; or one recording's features as a
        `recording.Block`, whose labels are ignored.
      visual_backbone: `onnx:PATH` where the network that describes faces is not among
        the weights.
      visual_weights: VGG-Face's weights, where avexp-weights doesn't keep them.
      eval_stride: Ticks between clips; 0 as in training.

    Returns:
      One row per tick: time in seconds, valence, arousal, what was present; of media
      files also the file, the face's box and the detector's score; of a model with
      intervals their bounds at the end.

    Raises:
      errors.DataError: if the model or a file can't be used.
    """
    from avexp_tf import outputs
    from avexp_tf import recording as recording_lib
    from avexp_tf.serving import model_source

    if not isinstance(inputs, recording_lib.Block):
        inputs = arguments.paths("inputs", inputs)
    source = model_source.find(arguments.path("model", model))
    if isinstance(inputs, recording_lib.Block):
        quiet.start_tensorflow()
        import pandas as pd

        values = source.predictor(eval_stride).predict(inputs)
        return pd.DataFrame(
            {
                "time": inputs.timestamps,
                **dict(zip(config.TARGETS, values.T, strict=False)),
                "video_present": inputs.video_present.astype(bool),
                "audio_present": inputs.audio_present.astype(bool),
                **dict(
                    zip(outputs.BOUNDS, values.T[outputs.N_TARGETS :], strict=False)
                ),
            }
        )
    from avexp_tf.corpora.media import corpus as media_corpus
    from avexp_tf.serving import media_features

    paths = media_corpus.find(inputs, flag="")
    extractor = media_features.extractor(
        source.manifest, visual_backbone, visual_weights
    )
    quiet.start_tensorflow()
    import pandas as pd

    from avexp_tf.serving import media_predictor
    from avexp_tf.serving import prediction_table

    predictor = media_predictor.MediaPredictor(
        source.predictor(eval_stride), extractor, media_features.clock(source.manifest)
    )
    tables = []
    for path in paths:
        for ticks in predictor.predict(path, report=media_corpus.log):
            table = prediction_table.frame(ticks)
            table.insert(0, "file", os.fspath(path))
            tables.append(table)
    return pd.concat(tables, ignore_index=True)
