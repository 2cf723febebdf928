"""The page in a real browser: what a visitor does, and what it shows then."""

import dataclasses
import re
import shutil
import socket
import wave

import array_corpus
import cv2
import numpy as np
import pytest

from avexp_tf.data import contents
from avexp_tf.data import prepare
from avexp_tf.features import extract
from avexp_tf.features import settings as feature_settings
from avexp_tf.features import weights
from avexp_tf.live import drawn_call
from avexp_tf.live import page
from avexp_tf.live import page_config
from avexp_tf.live import recognizer
from avexp_tf.live import settings
from avexp_tf.training import trained_model
from tests.live import calls
from tests.serving import small_run

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"
    ),
]
WAIT_MS = 60_000
ORANGE, BLUE = (0xC2, 0x41, 0x0C), (0x1D, 0x4E, 0xD8)


@pytest.fixture(scope="module")
def fake_devices(tmp_path_factory):
    """What the browser takes for a camera and a microphone."""
    folder = tmp_path_factory.mktemp("devices")
    with open(folder / "camera.mjpeg", "wb") as file:
        for _, image in drawn_call.frames(4.0):
            file.write(cv2.imencode(".jpg", image)[1].tobytes())
    with wave.open(str(folder / "microphone.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((drawn_call.voice(8.0) * 32767).astype("<i2").tobytes())
    return folder


@pytest.fixture(scope="module")
def browser(fake_devices):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",  # there is none for root, as in a container
                "--disable-gpu",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={fake_devices / 'camera.mjpeg'}",
                f"--use-file-for-fake-audio-capture={fake_devices / 'microphone.wav'}",
            ],
        )
        yield started
        started.close()


@pytest.fixture
def tab(browser):
    """A tab; it notes whom the page speaks to, and what goes wrong in it."""
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(WAIT_MS)
    opened.hosts, opened.problems = set(), []
    opened.on("request", lambda one: opened.hosts.add(host_of(one.url)))
    opened.on(
        "console",
        lambda one: opened.problems.append(one.text) if one.type == "error" else None,
    )
    opened.on("pageerror", lambda one: opened.problems.append(str(one)))
    yield opened
    opened.close()


@pytest.fixture
def addresses(monkeypatch):
    """Whom this process speaks to."""
    found, connect = set(), socket.socket.connect

    def noting(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            found.add(address[0])
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noting)
    return found


def host_of(url):
    return re.sub(r"^(data:|blob:).*|^\w+://([^/:]+).*", r"\2", url)


def curves(tab, target):
    """Of each model the heights of its curve, as drawn."""
    points = tab.eval_on_selector_all(
        f"#avexp-{target} polyline[class^=model]",
        "all => all.map(one => one.getAttribute('points'))",
    )
    return [
        np.array([float(place.split(",")[1]) for place in one.split()])
        for one in points
    ]


def wait_for(tab, script):
    tab.wait_for_function(script, timeout=WAIT_MS)


def bars(tab, modality, state):
    return f"document.querySelectorAll('#avexp-strip-{modality} .{state}').length"


def wait_for_views(tab, n_more):
    """Waits until so many more views with new predictions were drawn.

    Views are counted, not ticks: a slow machine passes over ticks.
    """
    tab.evaluate("() => { window.drawn = new Set(); }")
    wait_for(
        tab,
        "() => window.drawn.add("
        "document.querySelector('#avexp-view').dataset.newest || '')"
        f".size > {n_more}",
    )


def lose_most(tab):
    """Camera off, then 90% of the pictures lost; returns curves after each."""
    wait_for_views(tab, 20)
    with_camera = [curves(tab, target) for target in ("valence", "arousal")]
    tab.get_by_label("Camera off").check()
    wait_for(tab, f"() => {bars(tab, 'video', 'off')} > 0")
    wait_for_views(tab, 20)
    without = [curves(tab, target) for target in ("valence", "arousal")]
    tab.get_by_label("Camera off").uncheck()
    tab.get_by_role("slider", name="Loss rate").fill("90")
    wait_for(tab, f"() => {bars(tab, 'video', 'lost')} > 3")
    wait_for_views(tab, 20)
    return with_camera, without, [curves(tab, name) for name in ("valence", "arousal")]


def assert_moves(stages):
    """Both models' curves changed with what was lost, and go on moving."""
    for model in range(2):
        seen, without, lost = (
            np.array([stage[target][model][-15:] for target in range(2)])
            for stage in stages
        )
        assert np.ptp(seen, axis=1).max() > 0.5
        assert np.ptp(lost, axis=1).max() > 0.5
        assert np.abs(without.mean(axis=1) - seen.mean(axis=1)).max() > 0.5


def assert_drawn(shot):
    """Looks at a screenshot: both curves and both points are there to be seen."""
    image = cv2.cvtColor(
        cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
    ).astype(int)
    for color in (ORANGE, BLUE):
        near = np.abs(image - color).max(axis=2) < 40
        rows, columns = np.nonzero(near)
        assert near.sum() > 300 and np.ptp(rows) > 200 and np.ptp(columns) > 300


def test_a_recorded_example_without_a_camera(tmp_path, tab, addresses):
    corpus = WithFaces([4000, 3000], split="train")
    prepare.prepare(corpus, tmp_path / "records", small_run.RECORDS)
    models = two_models(tmp_path, tmp_path / "records", (0.7, 0.65))
    example = page_config.example_of(models)
    with page.launch(page_config.PageConfig(models, example=example)) as running:
        tab.goto(running.url)
        start = tab.get_by_role("button", name="Play the example")
        # By the keyboard, as without a mouse.
        start.focus()
        tab.keyboard.press("Enter")
        wait_for(tab, f"() => {bars(tab, 'video', 'here')} > 0")
        assert tab.get_by_role("button", name="Start my camera").is_disabled()
        assert_moves(lose_most(tab))
        for words in ("Expressed, not felt", "Nothing leaves this machine"):
            assert tab.get_by_text(words).is_visible()
        assert_drawn(tab.screenshot(path=tmp_path / "example.png", full_page=True))
        # What is being typed is no error: an empty box, or a number that is too large.
        box = tab.get_by_role("spinbutton", name="Loss rate")
        for typed in ("", "400"):
            box.fill(typed)
            wait_for_views(tab, 5)
            assert tab.get_by_text("Error").count() == 0
        tab.get_by_role("button", name="Stop").click()
        wait_for(
            tab,
            "() => document.querySelector('#avexp-work').innerText.includes('ended')",
        )
        # Each control has a name that can be read aloud.
        unnamed = tab.evaluate(
            """() => [...document.querySelectorAll("button, input, textarea")]
            .filter((one) => one.offsetParent && one.type !== "file"
              && !(one.innerText || one.ariaLabel || one.title || one.labels?.length
                   || one.getAttribute("aria-labelledby")))
            .map((one) => one.outerHTML)"""
        )
        assert not unnamed
    assert tab.hosts <= {"127.0.0.1", ""} and addresses <= {"127.0.0.1", "::1"}
    assert not tab.problems


class WithFaces(array_corpus.ArrayCorpus):
    """Random numbers, but a face is far from none."""

    def read(self, recording_id):
        for block in super().read(recording_id):
            yield dataclasses.replace(block, video=block.video + 6.0)


def two_models(folder, records, scales, manifest=None):
    """Two runs of different random weights."""
    found = {}
    for name, scale in zip(("Baseline", "Robust"), scales, strict=True):
        run_dir = small_run.make_run(folder / name, records, manifest=manifest)
        model = trained_model.load(run_dir)
        model.set_weights([scale * weight for weight in model.get_weights()])
        run_dir.save_weights(model)
        found[name] = recognizer.load_predictor(folder / name)
    return found


def media_manifest(weights_dir):
    """Of records that hold YuNet's faces in SFace's description."""
    sface = weights_dir / "face_recognition_sface_2021dec.onnx"
    features = feature_settings.FeatureConfig(
        face_detector="yunet", visual_backbone=f"onnx:{sface}"
    )
    made = extract.Extractor(features)
    return calls.manifest(
        video=made.video,
        corpus_config={"features": made.settings_json(), "clock": "30hz"},
        splits={"train": contents.Split((), (), 0, 0, (0, 0))},
    )


def test_camera_and_microphone_of_the_browser(
    tmp_path, tab, addresses, monkeypatch, weights_dir
):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
    manifest = media_manifest(weights_dir)
    models = two_models(tmp_path, tmp_path / "none", (1.0, 0.8), manifest)
    live = settings.LiveConfig(visual_budget="adaptive")
    with page.launch(page_config.PageConfig(models, live)) as running:
        tab.goto(running.url)
        tab.get_by_role("button", name="Start my camera and microphone").click()
        tab.wait_for_selector("#avexp-box", state="attached")
        wait_for(tab, f"() => {bars(tab, 'audio', 'here')} > 0")
        assert tab.inner_text("#avexp-devices") == "Camera and microphone are on."
        stages = lose_most(tab)
        assert_moves(stages)
        assert_drawn(tab.screenshot(path=tmp_path / "camera.png", full_page=True))
        tab.get_by_role("button", name="Stop").click()
        wait_for(tab, "() => document.querySelector('#avexp-self').srcObject === null")
        # What is sent under a token that nobody has, or has ended, is refused.
        for token in ("nobody", "%C3%A9"):
            url = f"{running.url}avexp/{token}/video?secs=1&rate_hz=0"
            assert tab.request.post(url).status == 404
    assert tab.hosts <= {"127.0.0.1", ""} and addresses <= {"127.0.0.1", "::1"}
