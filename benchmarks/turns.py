"""Lets contenders take turns, so that what else the machine does hits all alike.

Each contender lives in a process of its own, with its own threads and memory, and works
only when it is its turn. What counts are ratios within one round: their median, and
their quartiles as the spread.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import results
from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags

# Does some work and returns how much it was: clips, operations, bytes.
Work = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Contender:
    """What takes turns.

    Attributes:
      name: In the results.
      make: Called once, in the contender's process; returns its work.
      arguments: Of `make`.
      environment: Variables of the process.
      warm_turns: Turns before the first that counts.
    """

    name: str
    make: Callable[..., Work]
    arguments: tuple[Any, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warm_turns: int = 2


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
      rates: Per contender, the amount of work per second in each round.
      peak_mb: The most memory that each contender's process held, in 10^6 bytes.
      ready_secs: From the start of its process to the end of its warm turns.
      load: Processes that wanted to run in the minute before the first round.
    """

    rates: dict[str, list[float]]
    peak_mb: dict[str, float]
    ready_secs: dict[str, float]
    load: float

    def rate(self, name: str) -> float:
        """Returns the median rate."""
        return statistics.median(self.rates[name])

    def spread(self, name: str) -> tuple[float, float]:
        """Returns the quartiles of the rate."""
        return quartiles(self.rates[name])

    def ratio(self, name: str, other: str, scale: float = 1.0) -> Ratio:
        """Returns how many times faster one is than another, round by round."""
        pairs = zip(self.rates[name], self.rates[other], strict=True)
        values = [scale * one / two for one, two in pairs]
        return Ratio(statistics.median(values), *quartiles(values))

    def best_of(self, names: Sequence[str], name: str) -> None:
        """Adds a contender that is the fastest of several in each round."""
        self.rates[name] = [
            max(each) for each in zip(*(self.rates[one] for one in names), strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, and their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Returns the first and the third quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def measure(contenders: Sequence[Contender], n_rounds: int) -> Measured:
    """Lets all contenders take turns.

    Args:
      contenders: In the order of the first round; every other one goes backwards.
      n_rounds: Turns of each that count.

    Returns:
      The rates.

    Raises:
      errors.RunError: if a contender fails.
    """
    seats = []
    try:
        for contender in contenders:
            seats.append(_Seat(contender, flags.FLAGS.clock))
            print(f"{contender.name}: ready", file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        for index in range(n_rounds):
            for seat in seats if index % 2 == 0 else reversed(seats):
                seat.turn()
            print(f"round {index + 1} of {n_rounds}", file=sys.stderr, flush=True)
        return Measured(
            {seat.name: seat.rates for seat in seats},
            {seat.name: seat.peak_mb for seat in seats},
            {seat.name: seat.ready_secs for seat in seats},
            load,
        )
    finally:
        for seat in seats:
            seat.close()


class _Seat:
    """A contender's process, seen from here."""

    def __init__(self, contender: Contender, clock: str):
        self.name = contender.name
        self.rates: list[float] = []
        self.peak_mb = 0.0
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # Not a daemon: a contender may have workers of its own.
        self._process = context.Process(target=_sit, args=(theirs, contender, clock))
        began = time.perf_counter()
        before = {name: os.environ.get(name) for name in contender.environment}
        os.environ.update(contender.environment)
        self._process.start()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        theirs.close()
        self._receive()
        self.ready_secs = time.perf_counter() - began

    def turn(self) -> None:
        self._pipe.send(True)
        rate, self.peak_mb = self._receive()
        self.rates.append(rate)

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise errors.RunError(f"{self.name}: its process ended") from None
        if isinstance(answer, str):
            raise errors.RunError(f"{self.name}: {answer}")
        return answer

    def close(self) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()


def _cpu_clock() -> float:
    """Seconds that this process would have taken with all cores busy for it alone.

    Processes that it started and has waited for count too.
    """
    return sum(os.times()[:4]) / (os.cpu_count() or 1)


def _sit(pipe: Any, contender: Contender, clock_name: str = "wall") -> None:
    clock = {"wall": time.perf_counter, "cpu": _cpu_clock}[clock_name]
    try:
        work = contender.make(*contender.arguments)
        for _ in range(contender.warm_turns):
            work()
        pipe.send(None)
        while pipe.recv():
            began = clock()
            amount = work()
            secs = clock() - began
            pipe.send((amount / secs, _peak_mb()))
    except EOFError:
        pass
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _peak_mb() -> float:
    # Not of getrusage, which counts what the process was forked from.
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def define_flags(rounds: int) -> None:
    """Defines --rounds, --clock and --append.

    Args:
      rounds: Unless the user says otherwise.
    """
    module = avexp_flags.MODULE
    flags.DEFINE_integer("rounds", rounds, "Turns that count.", module_name=module)
    flags.DEFINE_enum(
        "clock",
        "wall",
        ["wall", "cpu"],
        "What is a second: wall; or cpu, the processor's time divided by the cores, "
        "where others use the machine too.",
        module_name=module,
    )
    results.define_flag()


def device() -> str:
    """Returns what the numbers were measured on."""
    import keras
    import tensorflow as tf

    return (
        f"{os.cpu_count()} cores, {platform.machine()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}"
    )


def finish(
    title: str, notes: str, lines: Sequence[str], values: Mapping[str, Any]
) -> None:
    """As `results.finish`, with the device in the notes.

    Args:
      title: Of the entry.
      notes: What a reader needs to know, after command and device.
      lines: Markdown.
      values: The numbers, for programs.
    """
    results.finish(title, f"{device()}. {notes}".strip(), lines, values)
