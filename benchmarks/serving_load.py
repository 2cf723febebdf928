"""Asks a server without a pause, some of it malformed, and checks every answer.

    python benchmarks/serving_load.py --export=runs/demo/export
    python benchmarks/serving_load.py --api=grpc --secs=10

Without --export it is a model of the paper's sizes with random weights.
Starts avexp-serve, lets clients ask one clip after the other, and compares every answer
with what the export gives in this process. Then as many threads call the export here,
which is what serving costs is measured against. Exit code 1: an answer was wrong, a
malformed request was not refused as such, memory grew, or the server did not end well.
`--append` adds the table to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import platform
import random
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import recording
from avexp_tf import runtime

Arrays = dict[str, np.ndarray]

_ALLOWED = 1e-5
# What counts as flat: the last quarter of a run against its second one.
_GROWTH_SHARE, _GROWTH_BYTES = 0.02, 8 << 20


def define_flags() -> None:
    """Defines the flags of this script."""
    runtime.define_flags()
    module = avexp_flags.MODULE
    flags.DEFINE_string(
        "export",
        "",
        "Folder of the versions; empty makes one of the paper's sizes.",
        module_name=module,
    )
    flags.DEFINE_float("secs", 60.0, "How long to ask.", module_name=module)
    flags.DEFINE_integer("clients", 8, "Clients at once.", module_name=module)
    flags.DEFINE_enum(
        "api", "both", ["grpc", "rest", "both"], "What they use.", module_name=module
    )
    flags.DEFINE_float("malformed", 0.05, "Share of requests.", module_name=module)
    results.define_flag()


@dataclasses.dataclass(frozen=True)
class Work:
    """What clients ask.

    Attributes:
      requests: Requests to `serving_default`.
      answers: What each must be answered, float32 [B, T, 2].
      malformed: Requests that must be refused.
      malformed_share: How many of all.
    """

    requests: Sequence[Arrays]
    answers: Sequence[np.ndarray]
    malformed: Sequence[Arrays]
    malformed_share: float


@dataclasses.dataclass
class Tally:
    """What clients got.

    Attributes:
      secs: Seconds of every right answer, by API.
      n_refused: Malformed requests that were refused.
      wrong: What should not have happened, in words.
    """

    secs: dict[str, list[float]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(list)
    )
    n_refused: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)

    @property
    def n_right(self) -> int:
        """Right answers."""
        return sum(map(len, self.secs.values()))


def work_for(
    predict: Callable[[Arrays], np.ndarray],
    dims: Mapping[str, int],
    n_ticks: int,
    malformed_share: float,
    n_requests: int = 16,
) -> Work:
    """Draws requests with gaps, and spoils some.

    Args:
      predict: What gives the right answers.
      dims: Widths of `video` and `audio`, and rows of `margin`.
      n_ticks: Length of the clips.
      malformed_share: How many are malformed.
      n_requests: Different ones.
    """
    rng = np.random.default_rng(0)
    rows = {"video": n_ticks, "audio": n_ticks + dims["margin"]}
    found = []
    for _ in range(n_requests):
        request: Arrays = {}
        for name in ("video", "audio"):
            shape = (1, rows[name], dims[name])
            request[name] = rng.normal(size=shape).astype(np.float32)
            request[f"{name}_present"] = rng.random((1, n_ticks)) < rng.random()
        found.append(request)
    whole = {
        name: np.ones_like(value) if value.dtype == bool else value
        for name, value in found[0].items()
    }
    video = whole["video"]
    nan = video.copy()
    nan[0, n_ticks // 2, 0] = np.nan
    malformed = [
        {name: value for name, value in whole.items() if name != "audio"},
        whole | {"video": nan},
        whole | {"video": video[0]},
        whole | {"video": video[..., 1:]},
        whole | {"video": video[:, 1:]},
        whole | {"smell": video},
        whole | {"video_present": whole["video_present"].astype(np.float32)},
        {name: value[:0] for name, value in whole.items()},
        whole | {"video": np.zeros((1, 100_000, 1), np.float32)},
    ]
    return Work(found, [predict(one) for one in found], malformed, malformed_share)


def ask(
    addresses: Sequence[tuple[str, str]], work: Work, ended: Callable[[int], bool]
) -> Tally:
    """Lets clients ask at once.

    Args:
      addresses: API and address of every client.
      work: What they ask.
      ended: Takes how often a client has asked, says whether that is enough.
    """
    from avexp_tf.serving import client as clients
    from avexp_tf.serving import client_errors

    tally = Tally()
    lock = threading.Lock()

    def run(index: int, api: str, address: str) -> None:
        draw = random.Random(index)
        secs: list[float] = []
        wrong: list[str] = []
        n_asked = n_refused = 0
        with clients.Client(address) as client:
            while not ended(n_asked):
                n_asked += 1
                if draw.random() < work.malformed_share:
                    spoilt = draw.randrange(len(work.malformed))
                    try:
                        client.call("serving_default", work.malformed[spoilt])
                        wrong.append(f"{api}: malformed request {spoilt} got an answer")
                    except client_errors.InvalidRequestError:
                        n_refused += 1
                    except Exception as error:
                        wrong.append(f"{api}: malformed request {spoilt}: {error!r}")
                    continue
                chosen = draw.randrange(len(work.requests))
                began = time.perf_counter()
                try:
                    got = client.predict("serving_default", work.requests[chosen])
                except Exception as error:
                    wrong.append(f"{api}: {error!r}")
                    continue
                secs.append(time.perf_counter() - began)
                far = np.abs(got - work.answers[chosen]).max()
                if not far <= _ALLOWED:
                    wrong.append(f"{api}: request {chosen} is wrong by {far:.2g}")
        with lock:
            tally.secs[api] += secs
            tally.n_refused += n_refused
            tally.wrong += wrong

    threads = [
        threading.Thread(target=run, args=(index, *one))
        for index, one in enumerate(addresses)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def call_here(
    predict: Callable[[Arrays], np.ndarray],
    work: Work,
    n_threads: int,
    ended: Callable[[], bool],
) -> list[float]:
    """Calls the model in threads of this process; returns seconds of each call."""
    found: list[float] = []

    def run(index: int) -> None:
        draw = random.Random(index)
        while not ended():
            request = draw.choice(work.requests)
            began = time.perf_counter()
            predict(request)
            found.append(time.perf_counter() - began)

    threads = [threading.Thread(target=run, args=(one,)) for one in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def grew(sizes: Sequence[int]) -> float:
    """By which share memory grew, from the second quarter of a run to its last."""
    quarter = len(sizes) // 4
    if not quarter:
        return 0.0
    before = float(np.median(sizes[quarter : 2 * quarter]))
    after = float(np.median(sizes[-quarter:]))
    return after / before - 1


def main(argv: Sequence[str]) -> int:
    """Measures, prints, and records if told to."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    runtime.set_up()
    if values.export:
        return measure(pathlib.Path(values.export))
    with tempfile.TemporaryDirectory() as folder:
        return measure(paper_sized(pathlib.Path(folder)))


def paper_sized(folder: pathlib.Path) -> pathlib.Path:
    """Exports a model of the paper's sizes with random weights."""
    from avexp_tf.data import contents
    from avexp_tf.data import manifest as manifests
    from avexp_tf.serving import saved_model
    from avexp_tf.training import run_dir as run_dirs
    from avexp_tf.training import trained_model

    n_columns = 65
    manifest = manifests.Manifest(
        corpus_name="random",
        corpus_config={},
        video=recording.FeatureSet("random", "1", 4096),
        audio=recording.FeatureSet("random", "1", n_columns),
        records=config.RecordsConfig(),
        has_background=False,
        audio_statistics=contents.AudioStatistics(
            1, (0.0,) * n_columns, (1.0,) * n_columns
        ),
        splits={"train": contents.Split((), (), 0, 0, (0, 0))},
    )
    experiment = config.ExperimentConfig(config.DataConfig(records="random"))
    run_dir = run_dirs.RunDir(folder / "run")
    run_dir.begin(experiment, manifest)
    run_dir.save_weights(trained_model.build(experiment, manifest))
    return saved_model.export(folder / "run", folder / "export").parent


def measure(export: pathlib.Path) -> int:
    """Measures one export; returns the exit code."""
    values = flags.FLAGS
    from avexp_tf.serving import clip_models
    from avexp_tf.serving import model_source
    from avexp_tf.serving.server import process

    source = model_source.find(export)
    if not source.is_export or source.experiment.model.variant != "audio_visual":
        raise errors.ConfigError(f"--export={export}: must be audio-visual")
    layout = source.manifest.layout
    busy = os.getloadavg()[0]
    predict = clip_models.SavedModel(source.path).predict
    dims = {"video": layout.video_dim, "audio": layout.audio_dim}
    n_ticks = source.experiment.data.clip_ticks
    work = work_for(
        predict, dims | {"margin": layout.context_ticks - 1}, n_ticks, values.malformed
    )
    apis = ["grpc", "rest"] if values.api == "both" else [values.api]
    sizes: list[int] = []
    with process.started(source.path.parent) as server:
        addresses = {"grpc": server.grpc, "rest": server.rest}
        chosen = [apis[index % len(apis)] for index in range(values.clients)]
        pairs = [(api, addresses[api]) for api in chosen]
        ask(pairs, work, lambda n_asked: n_asked >= 5)  # what is made on first use
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.25):
                sizes.append(server.resident_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        end = time.monotonic() + values.secs
        tally = ask(pairs, work, lambda n_asked: time.monotonic() >= end)
        done.set()
        watcher.join()
    end = time.monotonic() + values.secs / 4
    here = call_here(predict, work, values.clients, lambda: time.monotonic() >= end)
    growth = grew(sizes)
    is_flat = growth * float(np.median(sizes)) < max(
        _GROWTH_BYTES, _GROWTH_SHARE * float(np.median(sizes))
    )
    rates = {
        f"{api}, {chosen.count(api)} clients": _rates(tally.secs[api], values.secs)
        for api in apis
    }
    rates[f"in process, {values.clients} threads"] = _rates(here, values.secs / 4)
    model = source.experiment.model
    lines = [
        "| | clips per second | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {' | '.join(f'{number:.1f}' for number in numbers)} |"
            for name, numbers in rates.items()
        ),
        "",
        f"{tally.n_right} right answers, {tally.n_refused} malformed requests refused, "
        f"{len(tally.wrong)} wrong; the server's memory {min(sizes) / 1e6:.0f} to "
        f"{max(sizes) / 1e6:.0f} MB, {growth:+.1%} from the second quarter to the "
        f"last; exit code {server.exit_code} after SIGTERM.",
    ]
    for text in tally.wrong[:20]:
        print(text)
    results.finish(
        "Serving under load",
        f"one clip of {n_ticks} ticks a request, video {layout.video_dim} and audio "
        f"{layout.audio_dim} wide, model {model.d_model} wide; clients and server "
        f"share {os.cpu_count()} cores ({platform.machine()}), load before {busy:.1f}.",
        lines,
        {
            "right": tally.n_right,
            "refused": tally.n_refused,
            "wrong": len(tally.wrong),
            "growth": float(f"{growth:.2g}"),
            "clips per second, p50, p95 and p99 ms": {
                name: numbers.tolist() for name, numbers in rates.items()
            },
        },
    )
    return 0 if not tally.wrong and is_flat and server.exit_code == 0 else 1


def _rates(secs: Sequence[float], whole_secs: float) -> np.ndarray:
    """Clips per second, and the latency's p50, p95 and p99 in milliseconds."""
    latency = np.percentile(np.asarray(secs) * 1e3, [50, 95, 99])
    return np.round([len(secs) / whole_secs, *latency], 1)


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
