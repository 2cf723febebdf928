"""The controls of the page, and what they do. Needs gradio."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import gradio

from avexp_tf import errors
from avexp_tf.live import call_losses
from avexp_tf.live import page_figures
from avexp_tf.live import page_sessions

_REFRESH_SECS = 0.25

# What the page calls a pattern -> (its name in the registry, concealment).
PATTERNS = {
    "Single pictures, nothing instead": ("frame_zero", ""),
    "Single pictures, the last one stays": ("frame_repeat", ""),
    "Bursts, nothing instead": ("gilbert_elliott", "zero"),
    "Bursts, the last picture stays": ("gilbert_elliott", "repeat"),
    "One gap in every stretch of 3 seconds": ("subclip_zero", ""),
    "Whole stretches of 3 seconds": ("clip_zero", ""),
}
MODALITIES = {
    "Camera": "video",
    "Microphone": "audio",
    "Both, each by itself": "each",
    "Both at the same moments": "both",
}


_TITLE = "What is left when the camera drops out?"
_INTRO = """
<p>Two models watch the same call and estimate, many times a second, how
<b>pleasant</b> (valence) and how <b>excited</b> (arousal) the person seems. One was
trained on undamaged recordings, the other with losses. Play something, then switch
the camera off or lose a part of the pictures, and compare them.</p>
<p class="avexp-note"><b>Expressed, not felt:</b> the models estimate what face and
voice express, not what a person feels; people differ, and the models are often wrong.
Base no decision about anybody on them. <b>Nothing leaves this machine:</b> pictures
and sound are computed with here, and not kept.</p>
"""
_DEVICES = """
<p id="avexp-devices" role="status">Camera and microphone are off.</p>
<video id="avexp-self" autoplay muted playsinline hidden width="160"
 aria-label="Your own camera"></video>
"""
_SAID = '<p id="avexp-said" role="status" aria-live="polite"></p>'
_HELP = """
**Valence** says how pleasant an expression is, from -1 (very unpleasant) to +1 (very
pleasant). **Arousal** says how excited it is, from -1 (very calm) to +1 (very excited).
A calm smile has high valence and low arousal; anger has low valence and high arousal.

**The curves** show the last 20 seconds, with now at the right end. The dashed orange
curve is the first model, the solid blue one the second. Where the true values are known
a broad grey curve shows them: the closer a model is to it, the better.

**The map** shows the same as two points: orange diamond and blue circle.

**Face and voice**: high bars are moments that arrived, half-high bars moments at which
the last one is shown again, and a flat line moments of which nothing is there.

**Loss rate** is the share that gets lost. **Burst length** is how many moments in a row
are lost on average, 30 to a second; it counts for the patterns with bursts. Bursts
can't lose 9 of 10 and be short: if a burst is too short for the rate, the shortest
possible one is taken.

**Keyboard**: Tab goes from control to control, the space bar presses buttons and
switches, arrow keys move sliders. A sentence below the figures says what they show, and
is read aloud by screen readers.
"""


def blocks(visitors: page_sessions.Visitors) -> gradio.Blocks:
    """Lays out the page and says what its controls do."""
    names = tuple(visitors.page.models)
    why_not = visitors.page.why_no_media()
    with gradio.Blocks(
        title=_TITLE, analytics_enabled=False, delete_cache=(300, 3600)
    ) as made:
        gradio.Markdown(f"# {_TITLE}")
        gradio.HTML(_INTRO, elem_classes="avexp-intro")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                gradio.Markdown("## 1. Play something")
                example = gradio.Button("Play the example", variant="primary")
                devices = gradio.Button(
                    "Start my camera and microphone", interactive=not why_not
                )
                file = gradio.UploadButton(
                    "Play a video or sound file of mine",
                    file_types=["video", "audio"],
                    interactive=not why_not,
                )
                stop = gradio.Button("Stop")
                if why_not:
                    gradio.HTML(
                        "<details class='avexp-note'><summary>Only the example can be "
                        f"played here. Why?</summary>{html.escape(why_not)}</details>"
                    )
                gradio.HTML(_DEVICES)
                gradio.Markdown("## 2. Make the call worse")
                camera_off = gradio.Checkbox(label="Camera off")
                microphone_off = gradio.Checkbox(label="Microphone off")
                rate = gradio.Slider(
                    0, 100, 0, step=5, label="Loss rate", info="Percent that gets lost"
                )
                modality = gradio.Radio(
                    list(MODALITIES), value="Camera", label="What suffers losses"
                )
                pattern = gradio.Radio(  # a dropdown stays open when Tab leaves it
                    list(PATTERNS),
                    value=next(iter(PATTERNS)),
                    label="Pattern of the losses",
                )
                burst = gradio.Slider(
                    1,
                    60,
                    15,
                    step=1,
                    label="Burst length",
                    info="Moments in a row, 30 to a second; for the patterns with "
                    "bursts",
                )
            with gradio.Column(scale=3, min_width=320):
                gradio.Markdown("## 3. Compare the models")
                view = gradio.HTML(page_figures.view(None, names))
                gradio.HTML(_SAID)
                with gradio.Accordion("What am I looking at?", open=False):
                    gradio.Markdown(_HELP)
        token = gradio.Textbox(visible="hidden")
        controls = [camera_off, microphone_off, rate, modality, pattern, burst]

        def visitor(request: gradio.Request, *values: Any) -> page_sessions.Visitor:
            mine = visitors.of(str(request.session_hash))
            mine.set_losses(losses_of(*values))
            return mine

        def refresh(request: gradio.Request, *values: Any) -> str:
            mine = visitors.find(str(request.session_hash))
            if mine is None:
                return page_figures.view(None, names)
            mine.set_losses(losses_of(*values))
            return page_figures.view(mine.view(), names)

        def play_example(request: gradio.Request, *values: Any) -> None:
            if visitors.must_draw:
                gradio.Info("The example is drawn first, which takes some seconds.")
            with _told():
                visitor(request, *values).play_example()

        def play_devices(request: gradio.Request, *values: Any) -> str:
            with _told():
                return visitor(request, *values).play_browser()

        def play_file(path: str | None, request: gradio.Request, *values: Any) -> None:
            if path:
                with _told():
                    visitor(request, *values).play_file(path)

        def end(request: gradio.Request) -> None:
            mine = visitors.find(str(request.session_hash))
            if mine is not None:
                mine.stop()

        def leave(request: gradio.Request) -> None:
            visitors.leave(str(request.session_hash))

        quiet: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
        devices_off = "() => { window.avexpDevices(''); }"
        example.click(play_example, controls, js=_js(controls), **quiet).then(
            None, js=devices_off
        )
        with_file = [file, *controls]
        file.upload(play_file, with_file, js=_js(with_file), **quiet).then(
            None, js=devices_off
        )
        stop.click(end, **quiet).then(None, js=devices_off)
        devices.click(play_devices, controls, token, js=_js(controls), **quiet).then(
            None, token, js="(token) => { window.avexpDevices(token); }"
        )
        timer = gradio.Timer(_REFRESH_SECS)
        timer.tick(refresh, controls, view, js=_js(controls), **quiet)
        made.unload(leave)
    return made


def losses_of(
    camera_off: bool,
    microphone_off: bool,
    rate: float,
    modality: str,
    pattern: str,
    burst: float,
) -> call_losses.LossSettings:
    """Returns what the page's controls say.

    Args:
      camera_off: The switch.
      microphone_off: The switch.
      rate: Percent.
      modality: A key of `MODALITIES`.
      pattern: A key of `PATTERNS`.
      burst: Ticks.
    """
    off = [("video", camera_off), ("audio", microphone_off)]
    name, concealment = PATTERNS[pattern]
    return call_losses.settings(
        tuple(stream for stream, is_off in off if is_off),
        MODALITIES[modality],
        name,
        rate / 100,
        burst,
        concealment,
    )


def _js(inputs: Sequence[Any]) -> str:
    """Keeps what is being typed into a slider's box within its limits.

    Gradio would refuse an empty box, and a number half typed, with an error each.
    """
    names = [f"value{index}" for index in range(len(inputs))]
    kept = [
        f"Math.min({one.maximum}, Math.max({one.minimum}, Number({name}) || 0))"
        if isinstance(one, gradio.Slider)
        else name
        for name, one in zip(names, inputs, strict=True)
    ]
    return f"({', '.join(names)}) => [{', '.join(kept)}]"


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Shows the errors that a user can mend."""
    try:
        yield
    except errors.AvexpError as error:
        raise gradio.Error(str(error), print_exception=False) from None
