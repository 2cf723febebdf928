"""Tries again what may be better in a moment, until a deadline."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from typing import TypeVar

from avexp_tf.serving import client_errors

_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True)
class Retries:
    """How long and how often to try.

    Attributes:
      deadline_secs: For all tries together.
      most: Tries after the first one.
      first_wait_secs: Before the second try; doubled after each, and drawn between half
        and all of it, so that many clients don't come back at once.
      longest_wait_secs: Where doubling ends.
    """

    deadline_secs: float = 30.0
    most: int = 100
    first_wait_secs: float = 0.1
    longest_wait_secs: float = 2.0

    def run(self, call: Callable[[float], _Answer]) -> _Answer:
        """Calls until there is an answer.

        Args:
          call: Takes the seconds that are left. Predictions change nothing on the
            server, so that all of them may be sent again.

        Returns:
          Its answer.

        Raises:
          client_errors.ServerError: its last error, if it is not UnavailableError, or
            there is no try or no time left.
        """
        end = time.monotonic() + self.deadline_secs
        wait = self.first_wait_secs
        for attempt in range(self.most + 1):
            try:
                return call(max(end - time.monotonic(), 0.001))
            except client_errors.UnavailableError:
                pause = wait * random.uniform(0.5, 1.0)
                if attempt == self.most or time.monotonic() + pause >= end:
                    raise
                time.sleep(pause)
                wait = min(2 * wait, self.longest_wait_secs)
        raise AssertionError("unreachable")
