"""Damages media files in many ways: each must end in a result or in one line.

    python benchmarks/damaged_files.py --media=my/videos --files=500
    python benchmarks/damaged_files.py --media=my/videos --model=runs/my/export --append

Without --model, every file is probed, and its pictures and its sound are decoded; with
one it goes all the way, to the table, the plot and the annotated copy. The work is done
in another process, so that a crash is seen, counted and told with its seed, and a hang
is ended. A file that broke a rule is kept in --keep. Exit code 1 if there was one.
"""

from __future__ import annotations

import collections
import json
import pathlib
import queue
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import results
import tqdm
from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf.corpora.media import corpus as media_corpus
from avexp_tf.media import audio_reader
from avexp_tf.media import frame_reader
from avexp_tf.media import probe
from avexp_tf.media import writer

_EXCERPT_FRAMES = 60  # of the originals: damage is everywhere alike
_SUFFIXES = (".mp4", ".mkv", ".avi", ".ts", ".wav", ".mp3", ".webm", ".txt", "")

# A kind of damage takes random numbers and a whole file; it returns the damaged one.
_Damage = Callable[[random.Random, bytes], bytes]


def _truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _bits_flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 10, 100, 1000, 10_000))):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _ends_changed(rng: random.Random, data: bytes) -> bytes:
    """Changes bytes of the first and the last 20 kB, where containers keep tables."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 5, 20, 100))):
        place = rng.randrange(min(20_000, len(data)))
        changed[rng.choice((place, len(data) - 1 - place))] = rng.randrange(256)
    return bytes(changed)


def _zeroed(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    stop = min(start + rng.randrange(1, 200_000), len(data))
    return data[:start] + bytes(stop - start) + data[stop:]


def _cut_out(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 200_000) :]


def _twice(rng: random.Random, data: bytes) -> bytes:
    return data + data[rng.randrange(len(data)) :]


def _noise(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice((0, 16, 64, 1024))] + rng.randbytes(rng.randrange(50_000))


def _empty(rng: random.Random, data: bytes) -> bytes:
    return b""


_DAMAGES: dict[str, tuple[int, _Damage]] = {  # with how often each is taken
    "truncated": (4, _truncated),
    "bits flipped": (6, _bits_flipped),
    "ends changed": (5, _ends_changed),
    "zeroed": (3, _zeroed),
    "cut out": (3, _cut_out),
    "twice": (1, _twice),
    "noise": (2, _noise),
    "no bytes": (1, _empty),
}
# These are made of the pictures and samples, not of the bytes.
_TINY = ("one frame", "one sample", "one of each")
_RENAMED = "renamed"


def define_flags() -> None:
    """Defines the flags of this script."""
    module = avexp_flags.MODULE
    for name, text in (
        ("media", "Files or folder to damage, with commas; empty makes some."),
        ("model", "Model to predict with; see avexp-predict."),
        ("keep", "Folder for the files that broke a rule."),
        ("worker", "Folder for results: do the work of the process that may crash."),
    ):
        flags.DEFINE_string(name, "", text, module_name=module)
    flags.DEFINE_integer("files", 500, "Damaged files.", module_name=module)
    flags.DEFINE_integer("seed", 0, "Of the first file.", module_name=module)
    flags.DEFINE_float(
        "timeout_secs", 300.0, "After this a file counts as hung.", module_name=module
    )
    results.define_flag()


def main(argv: list[str]) -> int:
    """Reads the flags, damages the files and tells what became of them."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    if values.worker:
        _work(pathlib.Path(values.worker), values.model)
        return 0
    if values.files < 1:
        raise errors.ConfigError(f"--files={values.files}: must be at least 1")
    found: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    most = {key: (0.0, 0) for key in ("secs", "grown_mb")}  # with the seed
    broken = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        originals = _originals(values.media, folder)
        worker = _Worker(folder / "results", values.model, values.timeout_secs)
        seeds = range(values.seed, values.seed + values.files)
        for seed in tqdm.tqdm(seeds, unit="file"):
            kind, path = _damaged(seed, originals[seed % len(originals)], folder)
            outcome = worker.do(path)
            found[kind][outcome["what"]] += 1
            for key in ("secs", "grown_mb"):
                if outcome.get(key, 0.0) > most[key][0]:
                    most[key] = (outcome[key], seed)
            if outcome["what"] not in ("result", "one line"):
                broken.append(f"seed {seed}, {kind}, {path.name}: {outcome}")
                tqdm.tqdm.write(broken[-1])
                if values.keep:
                    pathlib.Path(values.keep).mkdir(parents=True, exist_ok=True)
                    path.rename(pathlib.Path(values.keep) / path.name)
            path.unlink(missing_ok=True)
        worker.close()
    print(f"broke a rule: {len(broken)}")
    way = "to table, plot and copy" if values.model else "decoded"
    results.finish(
        "Damaged files",
        f"{way}; at most {most['secs'][0]:.1f} s (seed {most['secs'][1]}), and "
        f"{most['grown_mb'][0]:.0f} MB more than before (seed {most['grown_mb'][1]}), "
        "for any file.",
        _table(found),
        {"broken": len(broken), **found},
    )
    return 1 if broken else 0


def _originals(media: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns whole files, at most a few seconds long."""
    if not media:
        return _generated(folder)
    made = []
    for path in media_corpus.find(media.split(",")):
        made.append(folder / f"{path.stem}-excerpt{path.suffix}")
        excerpt(path, made[-1], _EXCERPT_FRAMES)
    return made


def _generated(folder: pathlib.Path) -> list[pathlib.Path]:
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.3, 0.3, (2, 32_000)).astype(np.float32)
    noise = rng.integers(0, 255, (4, 48, 64, 3), dtype=np.uint8)
    frames = [(k / 25, noise[k % 4]) for k in range(50)]
    made = []
    for suffix, video, audio in (
        (".mp4", "libx264", "aac"),
        (".mkv", "mpeg4", "pcm_s16le"),
        (".ts", "libx264", "aac"),
    ):
        made.append(folder / f"generated{suffix}")
        writer.write(made[-1], frames, sound, video_codec=video, audio_codec=audio)
    return made


def excerpt(source: pathlib.Path, target: pathlib.Path, n_frames: int) -> None:
    """Copies the packets of the first pictures, and the sound that lies between."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as out:
        copies = {
            stream.index: out.add_stream_from_template(stream)
            for stream in opened.streams
            if stream.type in ("video", "audio")
        }
        for packet in opened.demux():
            if packet.dts is None or packet.stream.index not in copies:
                continue
            n_frames -= packet.stream.type == "video"
            if n_frames < 0:
                break
            packet.stream = copies[packet.stream.index]
            out.mux(packet)


def _damaged(
    seed: int, original: pathlib.Path, folder: pathlib.Path
) -> tuple[str, pathlib.Path]:
    """Makes one damaged file; it follows from the seed and the original."""
    rng = random.Random(seed)
    kinds = [*_DAMAGES, _RENAMED, *_TINY]
    weights = [times for times, _ in _DAMAGES.values()] + [2] + [1] * len(_TINY)
    kind = rng.choices(kinds, weights)[0]
    path = folder / f"seed-{seed}{original.suffix}"
    if kind in _TINY:
        frames = []
        if kind != "one sample":
            first = next(iter(frame_reader.FrameReader(original)))
            image = first.image_bgr()
            height, width = (side // 2 * 2 for side in image.shape[:2])
            frames = [(0.0, image[:height, :width])]
        audio = None if kind == "one frame" else np.full(1, 0.5, np.float32)
        path = path.with_suffix(".mov")
        writer.write(path, frames, audio)
        return kind, path
    data = original.read_bytes()
    if kind == _RENAMED:
        path = path.with_suffix(rng.choice(_SUFFIXES))
        path.write_bytes(data)
    else:
        path.write_bytes(_DAMAGES[kind][1](rng, data))
    return kind, path


class _Worker:
    """The process that may crash or hang; another one takes its place then."""

    def __init__(self, out: pathlib.Path, model: str, timeout_secs: float):
        self._command = [sys.executable, __file__, f"--worker={out}"]
        self._command += [f"--model={model}"] if model else []
        self._timeout_secs = timeout_secs
        self._process: subprocess.Popen | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def do(self, path: pathlib.Path) -> dict[str, Any]:
        """Returns what became of a file."""
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        try:
            answer = self._answers.get(timeout=self._timeout_secs)
        except queue.Empty:
            process.kill()
            process.wait()
            self._process = None
            return {"what": "hang", "secs": self._timeout_secs}
        if answer:
            return json.loads(answer)
        self._process = None
        return {"what": "crash", "exit_code": process.wait()}

    def close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def _start(self) -> None:
        self._answers = queue.Queue()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(
            target=self._listen, args=(self._process, self._answers), daemon=True
        ).start()
        ready = self._answers.get(timeout=600)
        if not ready:
            raise errors.RunError(
                f"the worker ended at once with {self._process.wait()}: run "
                f"`{' '.join(self._command)}` to see why"
            )

    @staticmethod
    def _listen(process: subprocess.Popen, answers: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answers.put(line)
        answers.put("")  # it has ended


def _work(out: pathlib.Path, model: str) -> None:
    """Takes paths from standard input and answers what became of each."""
    answers, sys.stdout = sys.stdout, sys.stderr
    take = _predicting(out, model) if model else _decode
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        path = pathlib.Path(line.rstrip("\n"))
        start = time.monotonic()
        before_mb = _reset_peak_mb()
        outcome: dict[str, Any]
        try:
            take(path)
            outcome = {"what": "result"}
        except errors.AvexpError as error:
            text = str(error)
            outcome = {"what": "one line" if "\n" not in text else "lines"}
            outcome["said"] = text
        except Exception as error:  # what a user would see as a traceback
            outcome = {"what": "traceback", "said": repr(error)}
        outcome["secs"] = time.monotonic() - start
        outcome["grown_mb"] = _peak_mb() - before_mb
        print(json.dumps(outcome), file=answers, flush=True)


def _decode(path: pathlib.Path) -> None:
    probe.probe(path)
    last_secs = -1.0
    n_found = 0
    for frame in frame_reader.FrameReader(path):
        if frame.index % 10 == 0:
            frame.image_bgr()
        if frame.secs <= last_secs:
            raise RuntimeError(f"{frame.secs} s after {last_secs} s")
        last_secs = frame.secs
        n_found += 1
    end = 0
    for block in audio_reader.AudioReader(path):
        if block.start < end or not np.isfinite(block.samples).all():
            raise RuntimeError(f"sound at {block.start} after {end}")
        end = block.start + len(block.samples)
        n_found += 1
    if not n_found:
        raise errors.DataError(f"{path}: holds no pictures or sound")


def _predicting(out: pathlib.Path, model: str) -> Callable[[pathlib.Path], None]:
    from avexp_tf.serving import media_job
    from avexp_tf.serving import prediction_table

    settings = media_job.Settings(model, str(out), overlay=True, overwrite=True)
    job = settings.job()

    def take(path: pathlib.Path) -> None:
        job.predict_file(path)
        last_secs = -1.0
        for ticks in prediction_table.read(out / f"{path.stem}.csv", 1000):
            if not np.isfinite(ticks.values).all():
                raise RuntimeError("a prediction is not finite")
            if np.diff(ticks.secs, prepend=last_secs).min() <= 0:
                raise RuntimeError("times do not rise")
            last_secs = ticks.secs[-1]
        for made in out.glob(f"{path.stem}.*"):
            made.unlink()

    return take


def _reset_peak_mb() -> float:
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # not Linux: the peak is that of all files so far
    return _peak_mb()


def _peak_mb() -> float:
    try:
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e3
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _table(found: dict[str, collections.Counter]) -> list[str]:
    whats = ["result", "one line", "lines", "traceback", "hang", "crash"]
    total: collections.Counter = sum(found.values(), collections.Counter())
    whats = [what for what in whats if total[what] or what in ("hang", "crash")]
    lines = [
        f"| damage | files | {' | '.join(whats)} |",
        f"|---|{'---|' * (len(whats) + 1)}",
    ]
    rows = [*sorted(found.items()), ("all", total)]
    for kind, counts in rows:
        cells = [str(counts[what]) for what in whats]
        lines.append(f"| {kind} | {sum(counts.values())} | {' | '.join(cells)} |")
    return lines


def run() -> None:
    """Runs the script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
