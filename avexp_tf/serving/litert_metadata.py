"""What a LiteRT file says of itself: everything that its inputs depend on, inside it.

The files that describe an export are packed behind the model as a zip archive, as
LiteRT's metadata prescribes: `unzip -p model.tflite model_card.md` shows the card. The
model's own `TFLITE_METADATA` names the model, its tensors and these files.

Reference: https://ai.google.dev/edge/litert/conversion/tensorflow/metadata, and
`metadata_schema.fbs` of tflite-support for the numbers of the fields.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from avexp_tf import errors

_NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_SCHEMA_VERSION = "1.0.0"
_TIME = (1980, 1, 1, 0, 0, 0)  # the same files give the same bytes


def add(
    model: bytes,
    name: str,
    description: str,
    version: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    files: Mapping[str, bytes],
) -> bytes:
    """Returns a LiteRT model with metadata.

    Args:
      model: The model.
      name: Of the model.
      description: What it does.
      version: Of what made it.
      inputs: {input: what it is}, as its first signature has them.
      outputs: Likewise.
      files: Files to pack behind it.

    Returns:
      The model with metadata, and the archive.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    (subgraph, *_) = tree.subgraphs
    described = _metadata(
        name,
        description,
        version,
        _in_order(tree, subgraph.inputs, subgraph, inputs),
        _in_order(tree, subgraph.outputs, subgraph, outputs),
        list(files),
    )
    buffer = schema.BufferT()
    buffer.data = list(described)
    entry = schema.MetadataT()
    entry.name = _NAME
    entry.buffer = len(tree.buffers)
    tree.buffers.append(buffer)
    tree.metadata = [*(tree.metadata or []), entry]
    builder = flatbuffers.Builder(len(model) + len(described) + 1024)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output()) + _archive(files)


def read(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Returns the files that are packed behind a model.

    Raises:
      errors.DataError: if there are none: the file is not of this program.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except FileNotFoundError:
        raise errors.DataError(f"{path}: no such file") from None
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
        raise errors.DataError(
            f"{path}: holds no metadata of this program: {error}"
        ) from None


def _archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), data)
    return packed.getvalue()


def _in_order(
    tree: Any, indices: Sequence[int], subgraph: Any, described: Mapping[str, str]
) -> list[tuple[str, str]]:
    """(name, description) of tensors, in the order in which the model takes them."""
    by_tensor = {}
    for signature in tree.signatureDefs or []:
        for mapping in [*signature.inputs, *signature.outputs]:
            if signature.subgraphIndex == 0:
                by_tensor[mapping.tensorIndex] = mapping.name.decode()
    found = []
    for index in indices:
        name = by_tensor.get(index, subgraph.tensors[index].name.decode())
        found.append((name, described.get(name, "")))
    return found


def _metadata(
    name: str,
    description: str,
    version: str,
    inputs: Sequence[tuple[str, str]],
    outputs: Sequence[tuple[str, str]],
    files: Sequence[str],
) -> bytes:
    """A `ModelMetadata` table; the numbers are the fields' places in the schema."""
    import flatbuffers

    builder = flatbuffers.Builder(4096)

    def table(n_fields: int, fields: Mapping[int, int]) -> int:
        builder.StartObject(n_fields)
        for place, offset in fields.items():
            builder.PrependUOffsetTRelativeSlot(place, offset, 0)
        return builder.EndObject()

    def vector(offsets: Sequence[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def tensors(pairs: Sequence[tuple[str, str]]) -> int:
        texts = [tuple(map(builder.CreateString, pair)) for pair in pairs]
        return vector([table(7, {0: one, 1: what}) for one, what in texts])

    names = [builder.CreateString(file) for file in files]
    associated = vector([table(5, {0: file}) for file in names])
    input_tensors, output_tensors = tensors(inputs), tensors(outputs)
    subgraph = table(10, {2: input_tensors, 3: output_tensors})
    subgraphs = vector([subgraph])
    texts = {
        place: builder.CreateString(text)
        for place, text in ((0, name), (1, description), (2, version))
    }
    minimum = builder.CreateString(_SCHEMA_VERSION)
    root = table(8, {**texts, 3: subgraphs, 6: associated, 7: minimum})
    builder.Finish(root, _IDENTIFIER)
    return bytes(builder.Output())
