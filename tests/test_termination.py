"""SIGTERM is an exception, and work can put it off to its next safe point."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from avexp_tf import termination


def test_sigterm_raises_and_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(termination.Terminated), termination.raised_on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_no_except_exception_stops_it():
    assert not issubclass(termination.Terminated, Exception)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (signal.SIGTERM, termination.Terminated),
        (signal.SIGINT, KeyboardInterrupt),
    ],
)
def test_a_deferred_signal_waits_until_it_is_asked_for(number, kind):
    deferred, done = termination.Deferred(), []
    before = signal.getsignal(number)
    with pytest.raises(kind), deferred:
        os.kill(os.getpid(), number)
        done.append("more work")
        assert deferred.asked
        deferred.raise_if_asked()
        done.append("too much")
    assert done == ["more work"]
    assert signal.getsignal(number) == before


def test_a_deferred_signal_is_raised_at_the_end_at_the_latest():
    with pytest.raises(termination.Terminated), termination.Deferred():
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_error_is_not_hidden_by_a_signal():
    with pytest.raises(ZeroDivisionError), termination.Deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ZeroDivisionError


def test_a_second_ctrl_c_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt), termination.Deferred():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
        os.kill(os.getpid(), signal.SIGINT)
        done.append(2)
    assert done == [1]


def test_without_a_signal_nothing_happens():
    with termination.Deferred() as deferred:
        deferred.raise_if_asked()
        assert not deferred.asked


def test_other_threads_do_not_touch_signals():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def work():
        with termination.Deferred(), termination.raised_on_sigterm():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


_CHILD = """
import time
from avexp_tf import termination
try:
    with termination.raised_on_sigterm():
        termination.end_with_parent()
        print("ready", flush=True)
        time.sleep(600)
except termination.Terminated:
    print("saved", flush=True)
"""


def test_a_child_ends_when_its_parent_is_gone():
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdout=subprocess.PIPE,
        pass_fds=[reading],
        env=os.environ | {termination.PARENT_VARIABLE: str(reading)},
        text=True,
    )
    os.close(reading)
    assert child.stdout.readline() == "ready\n"
    os.close(writing)  # as the end of this process would
    assert child.communicate(timeout=60)[0] == "saved\n"
    assert child.returncode == 0
