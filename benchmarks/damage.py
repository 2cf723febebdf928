"""Damages record files at random: is it all found, and is all the rest still read?

    python benchmarks/damage.py --files=1000

Writes small records in many shards, damages most of them, each in its own way, and
asks three questions. Does `avexp-verify` name every damaged shard, and no other? Does a
reader with `on_corrupt=skip` return every record whose bytes are as they were, name
every other one, and never return a value that was not written? Is every damaged record
an error without it? Exit code 1: one of the answers is no. `--append` adds the table to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import random
import shutil
import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import flags as avexp_flags
from avexp_tf.corpora.synthetic import corpus as synthetic_corpus
from avexp_tf.corpora.synthetic import settings as synthetic_settings
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import prepare
from avexp_tf.data import verify

_SPLIT = "train"
_SEGMENT_TICKS = 20
_RECORDS_PER_SHARD = 5
_UNTOUCHED = 0.1  # shards that stay as they are, for each that is damaged

# Takes the bytes of a shard, its records' offsets, another shard's bytes, and a
# generator of random numbers; returns other bytes, None for no file at all.
Damage = Callable[[bytes, list[int], bytes, random.Random], bytes | None]


def flip_a_bit(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Changes one bit."""
    bit = rng.randrange(8 * len(data))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def flip_bits(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Changes up to a hundred bits anywhere."""
    for _ in range(rng.randint(2, 100)):
        data = flip_a_bit(data, offsets, other, rng)
    return data


def flip_a_header(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Changes a bit of a record's length or of its checksum."""
    at = rng.choice(offsets) + rng.randrange(12)
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def overwrite(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Puts random bytes in the place of a stretch."""
    start, stop = _stretch(data, rng)
    return data[:start] + rng.randbytes(stop - start) + data[stop:]


def zero(data: bytes, offsets: list[int], other: bytes, rng: random.Random) -> bytes:
    """Puts zeros in the place of a stretch, as a lost block of a disk does."""
    start, stop = _stretch(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def remove(data: bytes, offsets: list[int], other: bytes, rng: random.Random) -> bytes:
    """Removes a stretch; all that follows moves."""
    start, stop = _stretch(data, rng)
    return data[:start] + data[stop:]


def insert(data: bytes, offsets: list[int], other: bytes, rng: random.Random) -> bytes:
    """Puts random bytes in; all that follows moves."""
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 500)) + data[at:]


def cut(data: bytes, offsets: list[int], other: bytes, rng: random.Random) -> bytes:
    """Ends the file early."""
    return data[: rng.randrange(len(data))]


def cut_at_a_record(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Ends the file where a record begins."""
    return data[: rng.choice(offsets)]


def append(data: bytes, offsets: list[int], other: bytes, rng: random.Random) -> bytes:
    """Adds bytes at the end; all records stay whole."""
    return data + rng.randbytes(rng.randint(1, 500))


def repeat_a_record(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Puts a whole record in the place of another one of the same length or not."""
    ends = [*offsets[1:], len(data)]
    a, b = rng.sample(range(len(offsets)), 2)
    record = data[offsets[a] : ends[a]]
    return data[: offsets[b]] + record + data[ends[b] :]


def swap_records(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Exchanges two whole records."""
    ends = [*offsets[1:], len(data)]
    a, b = sorted(rng.sample(range(len(offsets)), 2))
    return b"".join(
        (
            data[: offsets[a]],
            data[offsets[b] : ends[b]],
            data[ends[a] : offsets[b]],
            data[offsets[a] : ends[a]],
            data[ends[b] :],
        )
    )


def take_another_shard(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> bytes:
    """Puts another shard of the same records in this one's place."""
    return other


def empty(data: bytes, offsets: list[int], other: bytes, rng: random.Random) -> bytes:
    """Leaves a file of no bytes."""
    return b""


def lose_the_file(
    data: bytes, offsets: list[int], other: bytes, rng: random.Random
) -> None:
    """Removes the file."""
    return None


def _stretch(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + int(2 ** rng.uniform(0, 13)) + 1)


DAMAGES: tuple[Damage, ...] = (
    flip_a_bit,
    flip_bits,
    flip_a_header,
    overwrite,
    zero,
    remove,
    insert,
    cut,
    cut_at_a_record,
    append,
    repeat_a_record,
    swap_records,
    take_another_shard,
    empty,
    lose_the_file,
)


@dataclasses.dataclass
class Tally:
    """What was seen of one kind of damage.

    Attributes:
      files: Damaged files.
      found: Those that verify named.
      whole: Records whose bytes are as they were.
      returned: Those of them that were read.
      damaged: Records that are not.
      named: Those of them that the reader named as lost.
      refused: Those of them that are an error without `skip`.
      wrong: Values that were not written.
    """

    files: int = 0
    found: int = 0
    whole: int = 0
    returned: int = 0
    damaged: int = 0
    named: int = 0
    refused: int = 0
    wrong: int = 0

    @property
    def is_good(self) -> bool:
        """Whether all was found, nothing was lost, and nothing wrong got through."""
        return (
            self.found == self.files
            and self.returned == self.whole
            and self.named == self.refused == self.damaged
            and not self.wrong
        )


def write(folder: pathlib.Path, n_files: int) -> manifest_lib.Manifest:
    """Writes records with at least `n_files` shards."""
    per_recording = 3 * _RECORDS_PER_SHARD
    settings = synthetic_settings.SyntheticConfig(
        video_dim=4,
        audio_dim=2,
        train_speakers=-(-n_files // 2),
        dev_speakers=0,
        validation_speakers=0,
        recordings_per_speaker=1,
        min_ticks=_SEGMENT_TICKS * per_recording,
        max_ticks=_SEGMENT_TICKS * per_recording,
    )
    records = config.RecordsConfig(
        segment_ticks=_SEGMENT_TICKS,
        context_ticks=4,
        shard_mb=1400 * _RECORDS_PER_SHARD / 1e6,
    )
    return prepare.prepare(
        synthetic_corpus.SyntheticCorpus(settings), folder, records, report=str
    )


def measure(
    folder: pathlib.Path,
    manifest: manifest_lib.Manifest,
    n_files: int,
    rng: random.Random,
) -> tuple[dict[str, Tally], list[str]]:
    """Damages the shards of a folder and looks at what is made of them.

    Args:
      folder: The records.
      manifest: Of them.
      n_files: How many shards to damage.
      rng: Chooses the damage.

    Returns:
      {kind of damage: what was seen}, and the whole shards that verify blamed.
    """
    from avexp_tf.data import record_reader

    shards = manifest.split(_SPLIT).shards
    originals = [(folder / shard.file).read_bytes() for shard in shards]
    kinds = _damage(folder, shards, originals, n_files, rng)
    blamed = {
        line.split(": ")[0] for line in verify.problems(folder) if ".tfrecord" in line
    }
    tallies: dict[str, Tally] = collections.defaultdict(Tally)
    innocent = []
    for shard, kind in zip(shards, kinds, strict=True):
        is_named = str(folder / shard.file) in blamed
        if kind:
            tallies[kind].files += 1
            tallies[kind].found += is_named
        elif is_named:
            innocent.append(shard.file)
    reader = record_reader.RecordReader(manifest, str(folder), _SPLIT, "skip")
    returned = _read_all(reader)
    lost = {name.rsplit(": ", 1)[0] for name in reader.lost.names}
    index = 0
    for place, (shard, kind) in enumerate(zip(shards, kinds, strict=True)):
        path = folder / shard.file
        now = path.read_bytes() if path.exists() else b""
        tally, offset = tallies[kind or "none"], 0
        for n_bytes in shard.record_bytes:
            framed = originals[place][offset : offset + n_bytes]
            data = framed[12:-4]
            is_whole = now[offset : offset + n_bytes] == framed
            tally.whole += is_whole
            tally.returned += is_whole and returned[index] == data
            tally.damaged += not is_whole
            tally.named += not is_whole and reader.name_of(index) in lost
            tally.refused += not is_whole and _is_refused(reader, index)
            tally.wrong += returned[index] not in (b"", data)
            index += 1
            offset += n_bytes
    return dict(tallies), innocent


def _damage(
    folder: pathlib.Path,
    shards: Sequence[contents.Shard],
    originals: Sequence[bytes],
    n_files: int,
    rng: random.Random,
) -> list[str]:
    """Damages some shards; returns each one's kind, empty for the others."""
    chosen = {*rng.sample(range(len(shards)), n_files)}
    kinds = []
    for place, shard in enumerate(shards):
        path = folder / shard.file
        data = originals[place]
        damaged: bytes | None = data
        if place in chosen:
            damage = DAMAGES[rng.randrange(len(DAMAGES))]
            offsets = np.cumsum([0, *shard.record_bytes[:-1]]).tolist()
            for _ in range(100):  # one may put the same bytes there again
                other = originals[rng.randrange(len(originals))]
                damaged = damage(data, offsets, other, rng)
                if damaged != data:
                    break
        kinds.append("" if damaged == data else damage.__name__)
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
    return kinds


def _read_all(reader: Any) -> list[bytes]:
    """Returns every record through tf.data, empty for those that were lost."""
    import tensorflow as tf

    indices = tf.data.Dataset.range(reader.n_records)
    records = indices.interleave(
        reader.read, cycle_length=4, num_parallel_calls=4, deterministic=True
    )
    return list(records.as_numpy_iterator())


def _is_refused(reader: Any, index: int) -> bool:
    import tensorflow as tf

    from avexp_tf import errors

    try:
        reader.load(index)
    except (errors.DataError, tf.errors.OpError):
        return True
    return False


def define_flags() -> None:
    """Defines the flags of this script."""
    module = avexp_flags.MODULE
    flags.DEFINE_integer("files", 1000, "Damaged files.", module_name=module)
    flags.DEFINE_integer("damage_seed", 0, "Of the damage.", module_name=module)
    results.define_flag()


def main(argv: Sequence[str]) -> int:
    """Reads the flags, damages and looks."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    n_shards = int(values.files * (1 + _UNTOUCHED)) + 1
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        manifest = write(folder / "records", n_shards)
        rng = random.Random(values.damage_seed)
        tallies, innocent = measure(folder / "records", manifest, values.files, rng)
    finally:
        shutil.rmtree(folder)
    is_good = all(tally.is_good for tally in tallies.values()) and not innocent
    results.finish(
        "Damaged records",
        f"verify blamed {len(innocent)} shards that nobody had touched.",
        table(tallies),
        {
            "holds": is_good,
            "blamed": len(innocent),
            **{kind: dataclasses.asdict(tally) for kind, tally in tallies.items()},
        },
    )
    return 0 if is_good else 1


def table(tallies: dict[str, Tally]) -> list[str]:
    """Returns the result as lines of Markdown."""
    names = [field.name for field in dataclasses.fields(Tally)]
    total = Tally(
        *(sum(getattr(one, name) for one in tallies.values()) for name in names)
    )
    rows = [*sorted(tallies.items()), ("all", total)]
    lines = [
        "| damage | files | found by verify | whole records | read with skip | damaged "
        "records | named with skip | errors without | wrong values |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, one in rows:
        cells = [kind.replace("_", " "), *map(str, dataclasses.astuple(one))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
