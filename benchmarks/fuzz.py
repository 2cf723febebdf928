"""Feeds damaged, odd and hostile files to everything that reads one.

    python benchmarks/fuzz.py --minutes=10
    python benchmarks/fuzz.py --target=manifest --first_seed=41 --seeds=1

Hypothesis draws the files: valid ones with pieces changed, and arbitrary ones. A reader
may give a result or one of our own errors; anything else is a failure, and the line
says with which target and seed to see it again. `--append` adds the table to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import hypothesis
import numpy as np
import results
from absl import flags
from hypothesis import strategies as st

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import typed_json
from avexp_tf.corpora.affwild2 import labels
from avexp_tf.corpora.table import csv_table
from avexp_tf.corpora.table import mapping
from avexp_tf.corpora.table import npz_table
from avexp_tf.data import contents
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import manifest
from avexp_tf.data import parts
from avexp_tf.data import schema
from avexp_tf.data import segment
from avexp_tf.training import progress

_LAYOUT = schema.Layout(
    video_dim=2, audio_dim=1, context_ticks=3, context_before=2, has_background=False
)


@dataclasses.dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
      files: Draws what it reads.
      read: Reads it; takes the content and a folder to put it into.
    """

    files: st.SearchStrategy[bytes]
    read: Callable[[bytes, pathlib.Path], object]


# What files hold.


def changed(whole: bytes) -> st.SearchStrategy[bytes]:
    """Draws a valid file with some pieces changed, cut out or put in."""
    piece = st.tuples(
        st.integers(0, len(whole)),
        st.sampled_from([0, 0, 1, 1, 2, 4, 8, 40, len(whole)]),
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from([b"\0", b"\xff" * 8, b"nan", b"-1", b"1e999", b'"', b"\n"]),
        ),
    )

    def apply(pieces: list[tuple[int, int, bytes]]) -> bytes:
        data = whole
        for start, n_bytes, new in pieces:
            data = data[:start] + new + data[start + n_bytes :]
        return data

    return st.lists(piece, min_size=1, max_size=4).map(apply)


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, -(10**400)]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\ud800", "\0", "../../x", "a" * 300, "(", "{subject}"]),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=8), inner, max_size=4),
    ),
    max_leaves=8,
)


def _places(value: Any, place: tuple = ()) -> list[tuple]:
    """Returns the places of all values in nested JSON."""
    found = [place]
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        found += _places(item, (*place, key))
    return found


def _replaced(value: Any, place: tuple, new: Any) -> Any:
    """Returns nested JSON with one value replaced, or removed if it is `...`."""
    if not place:
        return {} if new is ... else new
    key, *rest = place
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if new is ... and not rest:
        del copy[key]
    else:
        copy[key] = _replaced(value[key], tuple(rest), new)
    return copy


def json_like(whole: Any) -> st.SearchStrategy[Any]:
    """Draws a valid JSON value with some values replaced or removed, or any other."""

    @st.composite
    def one(draw: st.DrawFn) -> Any:
        value = whole
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.sampled_from(_places(value)))
            new = draw(st.one_of(_JSON, st.just(...)))
            value = _replaced(value, place, new)
        return value

    return st.one_of(one(), _JSON)


def as_text(value: Any) -> bytes:
    """Returns JSON as a file holds it."""
    return json.dumps(value).encode()


def json_files(whole: Any) -> st.SearchStrategy[bytes]:
    """Draws files of JSON: well-formed or not."""
    return st.one_of(
        json_like(whole).map(as_text),
        changed(as_text(whole)),
        st.binary(max_size=60),
        st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"", b"1" * 5000]),
    )


# Readers.


def _segment() -> segment.Segment:
    return segment.Segment(
        recording_id="a",
        subject_id="s",
        segment_index=0,
        first_tick=0,
        video=np.array([[1.5, -2.0], [0, 0]], np.float16),
        audio=np.array([[0], [8.25], [0.5], [-1]], np.float32),
        labels=np.array([[0.25, -0.5], [0, 1]], np.float32),
        label_valid=np.array([[1, 1], [0, 1]], np.uint8),
        video_present=np.array([1, 0], np.uint8),
        audio_present=np.array([1, 1], np.uint8),
        margin_present=np.array([0, 1], np.uint8),
        timestamps=np.array([13.5, 13.75]),
    )


def _read_record(data: bytes, folder: pathlib.Path) -> object:
    return example.decode(data, _LAYOUT)


def _read_framed(data: bytes, folder: pathlib.Path) -> object:
    return example.decode(framing.unframe(data), _LAYOUT)


def _read_in_pipeline(data: bytes, folder: pathlib.Path) -> object:
    import tensorflow as tf

    try:
        return schema.parse(tf.constant(data), _LAYOUT)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
        return None  # which `record_source.RecordSource.reading` explains


def _read_file(reader: Callable[[pathlib.Path], object], name: str) -> Any:
    def read(data: bytes, folder: pathlib.Path) -> object:
        path = folder / name
        path.write_bytes(data)
        return reader(path)

    return read


def _read_table(table: Any) -> object:
    columns = [name for name, _ in table.columns()]
    wanted = {name: [name] for name in columns if columns.count(name) == 1}
    return list(table.chunks(wanted, 3)) if wanted else None


def _read_mapping(path: pathlib.Path) -> object:
    found = mapping.Mapping.load(path)
    return found.info("video_1"), found.to_json()


def _read_manifest(path: pathlib.Path) -> object:
    return manifest.Manifest.load(path.parent)


def _read_part(path: pathlib.Path) -> object:
    return parts._load(str(path), str(path), "key", 1)


def _read_progress(path: pathlib.Path) -> object:
    return progress.Progress.from_json(typed_json.load(path))


def _manifest_values() -> dict[str, Any]:
    values = manifest.Manifest(
        corpus_name="array",
        corpus_config={"seed": 1},
        video=_feature_set("random"),
        audio=_feature_set("noise"),
        records=config.RecordsConfig(),
        has_background=False,
        audio_statistics=contents.AudioStatistics(4, (0.5,), (1.5,)),
        splits={
            "train": contents.Split(
                shards=(contents.Shard("train-00000-of-00001.tfrecord", "0", (9,)),),
                recordings=(contents.Entry("r0", "s0", "s0", (2,)),),
                video_ticks=1,
                audio_ticks=2,
                label_ticks=(1, 2),
            )
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        values.save(folder)
        return json.loads((pathlib.Path(folder) / manifest.FILE_NAME).read_text())


def _feature_set(name: str) -> Any:
    from avexp_tf import recording

    return recording.FeatureSet(name, "1", 1)


def _sealed(values: Any) -> bytes:
    """Returns a manifest whose seal is right whatever else it holds."""
    if isinstance(values, dict):
        unsealed = {key: value for key, value in values.items() if key != "sha256"}
        values = unsealed | {"sha256": typed_json.digest(unsealed)}
    return as_text(values)


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, video=np.ones((3, 2), np.float32), time=np.arange(3.0))
    return file.getvalue()


def _progress_values() -> dict[str, Any]:
    best = progress.Best(1, 0.5, 1, "00")
    return progress.Progress(9, 1, 2, 0.5, best, ({"epoch": 1},), ("a",)).to_json()


_PART = {
    "key": "key",
    "sha256": "00",
    "segments": [2],
    "record_bytes": [9],
    "has_background": False,
    "video_ticks": 1,
    "audio_ticks": 1,
    "label_ticks": [1, 1],
    "audio": {"count": 1, "mean": [0.5], "m2": [0.5]},
}
_MAPPING = {
    "video": ["v*"],
    "audio": ["a"],
    "valence": "val",
    "arousal": "aro",
    "time": "t",
    "recording": "(?P<subject>.*)_(?P<take>[0-9]+)",
    "subject": "{subject}",
    "split_group": "{subject}",
    "splits": {"train": ["video"], "validation": ["other"]},
    "invalid_label": -5,
    "separator": ",",
}
_CSV = b"t,v,val\n0.1,2,0.5\n0.2,,-5\n0.3,1e3,1\n"
_LABELS = b"valence,arousal\n0.1,-0.5\n-5,-5\n1,-1\n"


def targets() -> dict[str, Target]:
    """Returns all targets by name."""
    record = example.encode(_segment(), _LAYOUT)
    experiment = config.to_dict(config.ExperimentConfig())
    values = _manifest_values()
    odd_cells = st.text(
        st.sampled_from(list('0159-+.eEinfa,;"\n\r\t \u2028_x\0')), max_size=40
    ).map(str.encode)

    def any_or(whole: bytes) -> st.SearchStrategy[bytes]:
        return st.one_of(changed(whole), st.binary(max_size=80))

    def load_config(path: pathlib.Path) -> object:
        return config.load(config.ExperimentConfig, path)

    return {
        "record": Target(any_or(record), _read_record),
        "framed record": Target(any_or(framing.frame(record)), _read_framed),
        "record in the pipeline": Target(any_or(record), _read_in_pipeline),
        "config": Target(
            json_files(experiment), _read_file(load_config, "config.json")
        ),
        "manifest": Target(
            st.one_of(json_files(values), json_like(values).map(_sealed)),
            _read_file(_read_manifest, manifest.FILE_NAME),
        ),
        "mapping": Target(
            json_files(_MAPPING), _read_file(_read_mapping, "mapping.json")
        ),
        "annotations": Target(
            st.one_of(
                any_or(_LABELS), odd_cells.map(lambda rows: b"valence,arousal\n" + rows)
            ),
            _read_file(labels.read, "labels.txt"),
        ),
        "csv": Target(
            st.one_of(any_or(_CSV), odd_cells.map(lambda rows: b"t,v,val\n" + rows)),
            _read_file(
                lambda path: _read_table(csv_table.CsvTable(str(path))), "x.csv"
            ),
        ),
        "npz": Target(
            any_or(_npz()),
            _read_file(
                lambda path: _read_table(npz_table.NpzTable(str(path))), "x.npz"
            ),
        ),
        "part": Target(json_files(_PART), _read_file(_read_part, "part.json")),
        "progress": Target(
            json_files(_progress_values()), _read_file(_read_progress, "progress.json")
        ),
    }


def run(
    target: Target, folder: pathlib.Path, seed: int, max_examples: int = 200
) -> tuple[int, str]:
    """Feeds what one seed draws to a target.

    Args:
      target: The reader.
      folder: For its file.
      seed: The same one draws the same files.
      max_examples: How many.

    Returns:
      How many files were read, and the failure; empty if there was none.
    """
    count = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(target.files)
    def check(data: bytes) -> None:
        nonlocal count
        count += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target.read(data, folder)
        except errors.AvexpError as error:
            # It must be possible to print it.
            str(error).encode("utf-8", "backslashreplace")
            assert str(error)

    try:
        check()
    except Exception:  # anything that is not ours
        return count, traceback.format_exc()
    return count, ""


def define_flags() -> None:
    """Defines the flags of this script."""
    module = avexp_flags.MODULE
    flags.DEFINE_float("minutes", 10.0, "How long, in all.", module_name=module)
    flags.DEFINE_string("target", "", "Only this one.", module_name=module)
    flags.DEFINE_integer("first_seed", 0, "The first seed.", module_name=module)
    flags.DEFINE_integer(
        "seeds",
        0,
        "So many seeds, whatever the time; 0 looks at the time.",
        module_name=module,
    )
    results.define_flag()


def main(argv: Sequence[str]) -> int:
    """Reads the flags and fuzzes."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    chosen = targets()
    if values.target:
        if values.target not in chosen:
            raise errors.ConfigError(
                f"--target={values.target}: must be one of {', '.join(chosen)}"
            )
        chosen = {values.target: chosen[values.target]}
    counts, failures = dict.fromkeys(chosen, 0), dict.fromkeys(chosen, 0)
    seed, until = values.first_seed, time.monotonic() + 60 * values.minutes
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        while True:
            for name, target in chosen.items():
                count, failure = run(target, pathlib.Path(folder), seed)
                counts[name] += count
                if failure:
                    failures[name] += 1
                    print(f"--target={name!r} --first_seed={seed} --seeds=1")
                    print(failure, flush=True)
            seed += 1
            if values.seeds and seed >= values.first_seed + values.seeds:
                break
            if not values.seeds and time.monotonic() > until:
                break
    minutes = (time.monotonic() - began) / 60
    rows = [f"| {name} | {counts[name]} | {failures[name]} |" for name in chosen]
    results.finish(
        "Fuzzing",
        f"{minutes:.1f} minutes, seeds {values.first_seed} to {seed - 1}. A failure is "
        "any exception but our own.",
        ["| reader | files | failures |", "|---|---|---|", *rows],
        {"files": counts, "failures": failures},
    )
    return 1 if any(failures.values()) else 0


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
