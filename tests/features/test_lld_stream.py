"""The streamed descriptors are openSMILE's own."""

import importlib.metadata
import subprocess
import sys
import threading

import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf.features import lld_stream
from avexp_tf.media import audio_reader

RATE = 16_000

# In another process: openSMILE and TensorFlow can't share this one.
BY_HAND = """
import sys
import warnings
import numpy as np
import opensmile

warnings.simplefilter("ignore")
smile = opensmile.Smile(
    feature_set=opensmile.FeatureSet.IS13,
    feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
)
folder = sys.argv[1]
rows = smile.process_signal(np.load(folder + "/samples.npy"), 16000).to_numpy()
np.save(folder + "/rows.npy", rows)
"""


@pytest.fixture
def by_hand(tmp_path):
    """opensmile.Smile on a whole signal."""

    def process(samples):
        np.save(tmp_path / "samples.npy", samples)
        subprocess.run([sys.executable, "-c", BY_HAND, str(tmp_path)], check=True)
        return np.load(tmp_path / "rows.npy")

    return process


def voice(n_secs, seed=0):
    """Voiced and unvoiced stretches of varying pitch: work for all trackers."""
    rng = np.random.default_rng(seed)
    secs = np.arange(round(n_secs * RATE)) / RATE
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.7 * secs)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(phase * k) / k for k in range(1, 9))
    on = np.sin(2 * np.pi * 1.3 * secs) > -0.2
    return (0.1 * tone * on + 0.01 * rng.normal(size=len(secs))).astype(np.float32)


def streamed(samples, cuts):
    with lld_stream.LldStream() as stream:
        rows = [stream.feed(piece) for piece in np.split(lld_stream.pcm(samples), cuts)]
        rows.append(stream.finish())
    return np.concatenate(rows)


@pytest.mark.parametrize("n_cuts", [1, 40, 400])
def test_any_pieces_give_the_rows_of_one_shot_to_the_bit(n_cuts, by_hand):
    samples = voice(12.3, n_cuts)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(samples), n_cuts))
    rows = streamed(samples, cuts)
    np.testing.assert_array_equal(rows, by_hand(samples))
    assert rows.shape == (1226, 65)  # floor((12.3 - 0.06) / 0.01) + 2
    assert np.std(rows[:, 0]) > 0  # pitch was found and lost


def test_real_sound_too(media_dir, by_hand):
    blocks = audio_reader.AudioReader(media_dir / "talk_25fps_b.mp4")
    samples = np.concatenate([block.samples for block in blocks])
    rows = streamed(samples, range(1000, len(samples), 1000))
    np.testing.assert_array_equal(rows, by_hand(samples))


@pytest.mark.parametrize(
    ("n_samples", "n_rows"), [(1, 0), (959, 0), (960, 2), (1119, 2), (1120, 3)]
)
def test_short_sound_has_the_rows_that_opensmile_gives_it(n_samples, n_rows, by_hand):
    samples = voice(0.2)[:n_samples]
    rows = streamed(samples, [])
    assert rows.shape == (n_rows, 65)
    expected = by_hand(samples)
    if n_rows == 0:
        assert expected.shape == (1, 65) and np.all(np.isnan(expected))
    else:
        np.testing.assert_array_equal(rows, expected)


def test_full_scale_is_clipped_and_does_not_turn_over():
    samples = np.array([1.5, 1.0, 32767 / 32768, 0.5, -1.0, -1.5, 3e-5, -3e-5])
    expected = [32767, 32767, 32767, 16384, -32768, -32768, 0, 0]
    np.testing.assert_array_equal(lld_stream.pcm(samples), expected)


def test_silence_is_finite():
    rows = streamed(np.zeros(RATE, np.float32), [])
    assert rows.shape == (96, 65) and np.all(np.isfinite(rows))


def test_leaving_early_leaves_nothing_behind():
    before = threading.active_count()
    with lld_stream.LldStream() as stream:
        stream.feed(lld_stream.pcm(voice(3.0)))
    assert threading.active_count() == before
    assert stream._process.poll() is not None
    stream.close()  # a second time does nothing


def test_what_goes_wrong_beside_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(lld_stream, "_opensmile_folder", lambda: tmp_path)
    with lld_stream.LldStream() as stream:
        with pytest.raises(errors.RunError, match=r"exit code 1\): FileNotFoundError"):
            for _ in range(200):
                stream.feed(np.zeros(RATE, np.int16))
    with lld_stream.LldStream() as stream:
        with pytest.raises(errors.RunError, match="openSMILE failed") as caught:
            stream.finish()
    assert "\n" not in str(caught.value)


def test_a_killed_process_is_an_error_and_not_short_sound():
    with lld_stream.LldStream() as stream:
        stream.feed(lld_stream.pcm(voice(3.0)))
        stream._process.kill()
        with pytest.raises(errors.RunError, match=r"exit code -9"):
            stream.finish()


def test_feature_set_names_the_extractor_and_its_version():
    features = lld_stream.feature_set()
    assert (features.name, features.dim) == ("IS13_lld", 65)
    assert features.version == importlib.metadata.version("opensmile")
