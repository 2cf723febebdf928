"""Follows a call: valence and arousal while it goes on.

    avexp-live --model=runs/demo/export                         # camera and microphone
    avexp-live talk.mp4 --model=runs/demo/export --csv=talk.csv
    avexp-live rtsp://camera/stream --model=runs/demo/export
    avexp-live --page --model=runs/demo/baseline --robust_model=runs/demo/clip_zero

Without a file it takes camera and microphone of this machine, until Ctrl-C; with one it
plays the file as if it were a call, and with an address it follows the stream there.
--model is an export, a LiteRT file or a run directory, trained on records of media
files. The terminal shows the newest estimate; --csv keeps all of them.

--page serves a page on this machine instead, for a browser: two models side by side on
an example, a file, or the browser's camera and microphone, with switches and sliders
for what gets lost. Models of any records will do for the example; camera and files need
models of media files.

The estimate is of expressed, not felt, emotion, and nothing leaves this machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime
from avexp_tf import termination
from avexp_tf.live import settings

_EXACT_DELAY_SECS = 2.0
_OF_DEVICES = ("camera", "microphone")
_OF_PAGE = ("robust_model", "example", "page_port")


def define_flags() -> None:
    """Defines the flags of this command."""
    runtime.define_flags()
    module = avexp_flags.MODULE
    for name, text in (
        ("model", "Export, folder of exports, LiteRT file, or run directory."),
        ("csv", "File for the estimates, one line per tick."),
        (
            "visual_backbone",
            "onnx:PATH of the network that the model describes faces by, where it is "
            "not among the weights.",
        ),
        (
            "visual_weights",
            "VGG-Face's weights, where they are not those that avexp-weights keeps.",
        ),
    ):
        if name not in flags.FLAGS:
            flags.DEFINE_string(name, "", text, module_name=module)
    for name, default, text in (
        ("page", False, "Serve the page with two models side by side."),
        ("robust_model", "", "--page: the second model, trained with losses."),
        (
            "example",
            "",
            "--page: media file or records folder to play; empty takes the records "
            "that the models were trained on, or draws a face that talks.",
        ),
        ("page_port", 0, "--page: where it is served; 0 finds a free port."),
    ):
        avexp_flags.define_one(name, default, text)
    if "camera" not in flags.FLAGS:
        flags.DEFINE_integer(
            "camera", 0, "Number of the camera; -1 for none.", module_name=module
        )
        flags.DEFINE_boolean("microphone", True, "Listen.", module_name=module)
        flags.DEFINE_boolean(
            "in_real_time",
            True,
            "Play a file at its own speed; else as fast as it goes, every tick.",
            module_name=module,
        )
    avexp_flags.define(settings.LiveConfig)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and follows the call."""
    values = flags.FLAGS
    if len(argv) > 2:
        raise errors.ConfigError(f"{argv[2]!r}: one file at a time; see --help")
    cli.require("model")
    live = avexp_flags.parsed(settings.LiveConfig)
    if values.page:
        cli.no_positionals(argv)
        _refuse("--page", "csv", "in_real_time", *_OF_DEVICES)
        return _serve_page(live)
    from avexp_tf.live import estimate_table
    from avexp_tf.live import recognizer
    from avexp_tf.live import sources
    from avexp_tf.live import url_source

    if values.csv:
        estimate_table.check(values.csv)
    notes: list[str] = []
    source: sources.Source
    if len(argv) == 2 and url_source.is_url(argv[1]):
        _refuse("a stream", "in_real_time", *_OF_DEVICES, *_OF_PAGE)
        source = url_source.UrlSource(argv[1])
        origin_secs = None
    elif len(argv) == 2:
        _refuse("a file", *_OF_DEVICES, *_OF_PAGE)
        if not values.in_real_time:
            # Nobody waits, and so the numbers are exactly the file's.
            exact_secs = max(live.delay_secs, _EXACT_DELAY_SECS)
            live = dataclasses.replace(live, delay_secs=exact_secs)
        source = sources.FileSource(argv[1], values.in_real_time, notes.append)
        origin_secs = 0.0
    else:
        _refuse("camera and microphone", "in_real_time", *_OF_PAGE)
        source = sources.DeviceSource(values.camera, values.microphone)
        origin_secs = None
    backbone, weights = _visual_flags()
    runtime.set_up()
    with contextlib.ExitStack() as stack:
        stack.enter_context(termination.ended_once())
        call = stack.enter_context(
            recognizer.Recognizer.open(
                values.model, live, backbone, weights, origin_secs
            )
        )
        write: Callable[[list[recognizer.Estimate]], None] | None = None
        if values.csv:
            write = stack.enter_context(
                estimate_table.writing(values.csv, call.outputs)
            )
        n_ticks, broke_off = _follow(source.estimates(call), write)
    print(f"{n_ticks} ticks" + (f": {values.csv}" if values.csv else ""), flush=True)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if broke_off is not None:
        raise broke_off
    return 0


def _refuse(followed: str, *names: str) -> None:
    """Raises ConfigError if one of these flags is given, which do nothing there."""
    for name in names:
        flag = flags.FLAGS[name]
        if not flag.using_default_value:
            raise errors.ConfigError(
                f"--{name}={flag.value}: does nothing with {followed}"
            )


def _visual_flags() -> list[str]:
    """Returns two flags that other commands define with defaults of their own."""
    values = flags.FLAGS
    return [
        str(values[name].value) if values[name].present else ""
        for name in ("visual_backbone", "visual_weights")
    ]


def _serve_page(live: settings.LiveConfig) -> int:
    """Serves the page until Ctrl-C or SIGTERM."""
    values = flags.FLAGS
    if values["visual_budget"].using_default_value:
        # Two models and the networks that see: pictures are passed over where it must
        # be, and the curves stay at the present.
        live = dataclasses.replace(live, visual_budget="adaptive")
    runtime.set_up()
    from avexp_tf.live import page
    from avexp_tf.live import page_config

    page.check(values.page_port)
    config = page_config.open_page(
        values.model, values.robust_model, live, values.example, *_visual_flags()
    )
    with (
        page.launch(config, values.page_port) as running,
        # How a page ends.
        contextlib.suppress(KeyboardInterrupt, termination.Terminated),
    ):
        print(f"{running.url} (Ctrl-C ends it)", flush=True)
        running.wait()
    return 0


def _follow(
    estimates: Iterator[list], write: Callable[[list], None] | None
) -> tuple[int, errors.DataError | None]:
    """Shows and writes estimates until the call ends, or is ended.

    Returns:
      How many there were, and the error that ended them; all that came counts.
    """
    from avexp_tf.live import terminal

    shows = sys.stderr.isatty()
    n_ticks, broke_off = 0, None
    try:
        for found in estimates:
            if write is not None:
                write(found)
            n_ticks += len(found)
            if found and shows:
                shows = _show(f"\r{terminal.line(found[-1])}")
    except (KeyboardInterrupt, termination.Terminated):
        pass  # how a call ends
    except errors.DataError as error:
        if not n_ticks:
            raise
        broke_off = error
    if shows:
        _show("\n")
    return n_ticks, broke_off


def _show(text: str) -> bool:
    """Writes to the terminal; returns whether it is still there."""
    try:
        print(text, end="", file=sys.stderr, flush=True)
    except OSError:
        return False
    return True


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
