"""Writes the parts of all recordings, one by one or in several processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence
from multiprocessing import connection
from typing import Any

import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import parts

_POLL_SECS = 0.5


def write_parts(
    corpus: recording.Corpus,
    infos: Sequence[recording.RecordingInfo],
    records: config.RecordsConfig,
    parts_dir: str,
    n_workers: int = 1,
) -> None:
    """Writes the part of every recording that has none, and shows how it goes.

    Args:
      corpus: Where the recordings come from; it is sent to each process once.
      infos: The recordings.
      records: How to cut them.
      parts_dir: Where parts lie.
      n_workers: Processes; 1 works in this one.

    Raises:
      errors.AvexpError: the first that a recording raises; the parts that were
        finished before stay.
    """
    with tqdm.tqdm(total=len(infos), unit="recording", desc="records") as bar:
        progress = Progress(bar)
        if n_workers == 1:
            for info in infos:
                parts.write(corpus, info, records, parts_dir, progress.add_ticks)
                bar.update()
        else:
            setup = (corpus, records, parts_dir)
            n_workers = min(n_workers, len(infos))
            with _Pool(setup, n_workers) as pool:
                for n_done, n_ticks in pool.run(infos):
                    progress.set_ticks(n_ticks)
                    bar.update(n_done)


class Progress:
    """Shows ticks per second behind the bar of recordings.

    Args:
      bar: Of recordings.

    Attributes:
      bar: Likewise.
    """

    def __init__(self, bar: tqdm.tqdm):
        self.bar = bar
        self._start_secs = time.monotonic()
        self._n_ticks = 0

    def add_ticks(self, n_ticks: int) -> None:
        """Shows that more ticks are done."""
        self.set_ticks(self._n_ticks + n_ticks)

    def set_ticks(self, n_ticks: int) -> None:
        """Shows how many ticks are done in all."""
        self._n_ticks = n_ticks
        secs = max(time.monotonic() - self._start_secs, 1e-6)
        text = f"{n_ticks} frames, {n_ticks / secs:.0f} frames/s"
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(0)


class _Pool:
    """Processes that write parts, and end with this one whatever ends it."""

    def __init__(self, setup: tuple[Any, ...], n_workers: int):
        # TensorFlow's threads don't survive a fork.
        context = multiprocessing.get_context("spawn")
        self._n_workers = n_workers
        self._n_ticks = context.Value("q", 0)
        # Which recording each worker has in hand, by number; -1 for none.
        self._in_hand = context.Array("q", [-1] * n_workers)
        # When our end closes, also by SIGKILL, the workers see it and exit.
        theirs, self._lifeline = context.Pipe(duplex=False)
        self._executor = concurrent.futures.ProcessPoolExecutor(
            n_workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(
                *setup,
                self._n_ticks,
                self._in_hand,
                context.Value("q", 0),
                theirs,
            ),
        )

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._lifeline.close()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def run(
        self, infos: Sequence[recording.RecordingInfo]
    ) -> Iterator[tuple[int, int]]:
        """Yields (recordings done since, ticks done in all), about twice a second."""
        waiting = iter(enumerate(infos))
        running: set[concurrent.futures.Future] = set()
        while True:
            # Few at a time: 100,000 futures would be a long list of nothing.
            while len(running) < 4 * self._n_workers:
                numbered = next(waiting, None)
                if numbered is None:
                    break
                running.add(self._executor.submit(_work, *numbered))
            if not running:
                return
            done, running = concurrent.futures.wait(
                running, _POLL_SECS, concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                self._raise_from(future, infos)
            yield len(done), self._n_ticks.value

    def _raise_from(
        self,
        future: concurrent.futures.Future,
        infos: Sequence[recording.RecordingInfo],
    ) -> None:
        try:
            future.result()
        except concurrent.futures.process.BrokenProcessPool:
            numbers = [number for number in self._in_hand[:] if number >= 0]
            ids = [infos[number].recording_id for number in numbers]
            raise errors.DataError(
                f"a worker process died; in hand were {', '.join(ids) or 'none'}: run "
                "the same command again with fewer --workers if memory may have run "
                "out; else one of these files is damaged so that its decoder crashes"
            ) from None


_worker: dict[str, Any] = {}


def _start_worker(
    corpus: recording.Corpus,
    records: config.RecordsConfig,
    parts_dir: str,
    n_ticks: Any,
    in_hand: Any,
    n_started: Any,
    lifeline: connection.Connection,
) -> None:
    # Ctrl-C reaches every process of the terminal; only the parent answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=exit_with, args=(lifeline,), daemon=True).start()
    with n_started.get_lock():
        place = n_started.value
        n_started.value += 1
    _worker.update(
        arguments=(corpus, records, parts_dir),
        n_ticks=n_ticks,
        in_hand=in_hand,
        place=place,
    )


def exit_with(lifeline: connection.Connection) -> None:
    """Ends this process when the other end of a pipe is closed, also by SIGKILL."""
    connection.wait([lifeline])
    os._exit(1)


def _work(number: int, info: recording.RecordingInfo) -> None:
    corpus, records, parts_dir = _worker["arguments"]

    def add(n_ticks: int) -> None:
        with _worker["n_ticks"].get_lock():
            _worker["n_ticks"].value += n_ticks

    _worker["in_hand"][_worker["place"]] = number
    try:
        parts.write(corpus, info, records, parts_dir, add)
    finally:
        _worker["in_hand"][_worker["place"]] = -1
