"""Converts a model to LiteRT: float32, float16, dynamic-range int8 and calibrated int8.

Each file has the signatures `serving_default` and `sources` with any batch and length,
uses LiteRT's own operators alone, and holds what its inputs depend on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.data import condition as conditions
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.serving import litert_metadata
from avexp_tf.serving import litert_model
from avexp_tf.serving import parity_result
from avexp_tf.serving import requests
from avexp_tf.serving import saved_functions
from avexp_tf.serving import signatures
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

SUFFIX = litert_model.SUFFIX
FOLDER = "litert"
SIGNATURES = (signatures.DEFAULT, signatures.SOURCES)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of arithmetic.

    Attributes:
      what: For the metadata.
      allowance: How far it may be from Keras to ship.
    """

    what: str
    allowance: parity_result.Allowance


VARIANTS = {
    "float32": Variant("float32", parity_result.FLOAT32),
    "float16": Variant("weights in float16", parity_result.Allowance(ccc=0.005)),
    "dynamic_int8": Variant(
        "weights in int8, activations quantised as they come",
        parity_result.Allowance(ccc=0.005),
    ),
    "int8": Variant(
        "matrix products up to the fusion in int8, weights and activations, calibrated "
        "on train records",
        parity_result.Allowance(ccc=0.01),
    ),
}

# What the calibration sees: whole clips, and clips with every kind of gap.
_CALIBRATION = (
    "none|video:clip_zero:1|audio:clip_zero:1|each:frame_zero:0.5|each:frame_repeat:0.5"
)
_CALIBRATION_CLIPS = 128
_SEED = 0

# What int8 arithmetic is for. Anything else stays in float32: normalising LLDs of any
# range, adding to a residual stream and dividing by a deviation all lose, in 256 steps,
# more than the gate allows.
_INT8_OPERATORS = ("FULLY_CONNECTED", "CONV_2D")
# Of the matrix products those of the fusion stay in float32 too: a tenth of the
# weights, and most of the loss.
_FLOAT_NODES = "/fusion"


def convert(
    run_dir: run_dirs.RunDir,
    calibration: record_source.RecordSource,
    names: Sequence[str] = tuple(VARIANTS),
    files: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Converts a model.

    Args:
      run_dir: Where it is.
      calibration: The train split, to calibrate `int8` on.
      names: Variants.
      files: What describes the model, to be packed behind it.

    Returns:
      {variant: file content}.

    Raises:
      errors.RunError: if the model can't be converted.
    """
    model = trained_model.load(run_dir, precision="float32")
    manifest = run_dir.manifest()
    module = signatures.ServingModule(model, manifest, checked=False)
    found = module.signatures()
    converted = {}
    with tempfile.TemporaryDirectory() as folder:
        saved_functions.write(
            folder, [model], {name: found[name] for name in SIGNATURES}
        )
        for name in names:
            try:
                with _quiet():
                    content = _converted(folder, name, calibration, run_dir)
            except errors.AvexpError:
                raise  # of the records that it is calibrated on
            except Exception as error:  # of the converter, which raises anything
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise errors.RunError(
                    f"{run_dir.path}: can't be converted to LiteRT {name}: {reason}"
                ) from error
            converted[name] = litert_metadata.add(
                content,
                f"avexp_tf {run_dir.config().train.name}, {name}",
                f"Valence and arousal from face and voice; {VARIANTS[name].what}.",
                metadata.version("avexp-tf"),
                {key: key for key in found[signatures.DEFAULT][1]},
                {output: outputs.words_of(output) for output in module.outputs},
                files or {},
            )
    return converted


def _converted(
    folder: str,
    name: str,
    calibration: record_source.RecordSource,
    run_dir: run_dirs.RunDir,
) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=list(SIGNATURES)
    )
    # Its own operators alone: no Flex, which few devices have.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if name == "float32":
        return converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if name != "int8":
        return converter.convert()
    plain = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=list(SIGNATURES)
    ).convert()
    operators, nodes = _kept_in_float(plain)
    converter.representative_dataset = lambda: _examples(calibration, run_dir)
    # Made to find what quantising costs; also the way to leave operators out.
    return tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            denylisted_ops=operators, denylisted_nodes=nodes
        ),
    ).get_nondebug_quantized_model()


def _kept_in_float(model: bytes) -> tuple[list[str], list[str]]:
    """Operators and nodes of a LiteRT model that int8 leaves alone."""
    from ai_edge_litert import schema_py_generated as schema

    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    operators = {names[code.builtinCode] for code in tree.operatorCodes}
    nodes = {
        tensor.name.decode()
        for subgraph in tree.subgraphs
        for tensor in subgraph.tensors
        if _FLOAT_NODES in tensor.name.decode()
    }
    return sorted(operators.difference(_INT8_OPERATORS)), sorted(nodes)


def _examples(
    source: record_source.RecordSource, run_dir: run_dirs.RunDir
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests to both signatures, of clips from all over the train split."""
    manifest = run_dir.manifest()
    ablations = conditions.parse_ablations((_CALIBRATION,))
    seen = 0
    batches = pipeline.training_batches(source, ablations, _SEED, 0)
    for inputs, _ in source.reading(batches):
        batch = {name: tensor.numpy() for name, tensor in inputs.items()}
        batch["audio_row_present"] = (batch["audio"] != 0).any(axis=-1)
        for name in config.MODALITIES:
            batch[f"{name}_source"] = batch[f"{name}_source"][:, None]
        for signature, request in (
            (signatures.SOURCES, requests.of_sources(batch, 0, manifest)),
            (signatures.DEFAULT, requests.of_presence(batch, 0, manifest)),
        ):
            # One by one: the calibration takes all of the shape of the first.
            for row in range(len(batch["valid"])):
                one = {name: value[row : row + 1] for name, value in request.items()}
                yield signature, _only_taken(one, run_dir)
        seen += len(batch["valid"])
        if seen >= _CALIBRATION_CLIPS:
            return


def _only_taken(request: requests.Arrays, run_dir: run_dirs.RunDir) -> dict[str, Any]:
    """Leaves out what a one-branch model has no input for."""
    variant = run_dir.config().model.variant
    if not variant.endswith("_only"):
        return request
    other = "audio" if variant == "video_only" else "video"
    taken = {name: one for name, one in request.items() if not name.startswith(other)}
    if variant == "audio_only":
        taken.pop("background", None)
    return taken


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the converter's chatter about its own deprecations away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
