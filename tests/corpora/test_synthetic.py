"""The synthetic corpus: its statistics, and its optimum against brute force."""

import dataclasses

import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf.corpora import synthetic
from avexp_tf.corpora.synthetic import optimum
from avexp_tf.corpora.synthetic import settings as synthetic_settings

SMALL = synthetic.SyntheticConfig(
    video_dim=12,
    audio_dim=5,
    train_speakers=3,
    dev_speakers=1,
    validation_speakers=1,
    min_ticks=1100,
    max_ticks=2300,
    no_face=0.2,
    silence=0.3,
    gap_secs=0.5,
)


def read(settings, index=0):
    corpus = synthetic.SyntheticCorpus(settings)
    info = corpus.recordings()[index]
    blocks = list(corpus.read(info.recording_id))
    names = [field.name for field in dataclasses.fields(blocks[0])][:-1]
    return {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in names
    }


def test_the_same_settings_give_the_same_recordings():
    first, again = read(SMALL), read(SMALL)
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)
    other = read(dataclasses.replace(SMALL, synthetic_seed=1))
    assert (
        len(other["labels"]) != len(first["labels"])
        or (other["labels"] != first["labels"]).any()
    )


def test_speakers_are_in_one_split_each():
    infos = synthetic.SyntheticCorpus(SMALL).recordings()
    assert len(infos) == 10
    assert {info.split for info in infos} == {"train", "dev", "validation"}
    homes = {}
    for info in infos:
        assert homes.setdefault(info.subject_id, info.split) == info.split


def test_states_are_the_processes_that_were_asked_for():
    settings = dataclasses.replace(
        SMALL, min_ticks=60_000, max_ticks=60_000, valence_secs=0.5, arousal_secs=1.0
    )
    data = read(settings)
    labels = data["labels"] / synthetic_settings.LABEL_STD
    assert np.abs(labels.mean(0)).max() < 0.15
    np.testing.assert_allclose(labels.std(0), 1, atol=0.1)
    lagged = [np.corrcoef(labels[:-15, i], labels[15:, i])[0, 1] for i in (0, 1)]
    np.testing.assert_allclose(lagged, [np.exp(-1), np.exp(-0.5)], atol=0.08)
    assert abs(np.corrcoef(labels.T)[0, 1]) < 0.15
    assert abs((~data["video_present"]).mean() - 0.2) < 0.05
    assert abs((~data["audio_present"]).mean() - 0.3) < 0.06
    assert np.abs(data["labels"]).max() <= 1


def test_video_looks_like_fc6_after_relu():
    video = read(SMALL)["video"]
    assert video.min() == 0
    assert (video == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert video.mean() > 0.3


def test_features_carry_the_states_with_the_noise_that_was_asked_for():
    data = read(dataclasses.replace(SMALL, min_ticks=30_000, max_ticks=30_000))
    made = optimum.Optimum(SMALL, 60, 59)
    truth = data["labels"] / synthetic_settings.LABEL_STD
    video = made.video_states(data["video"]) - truth
    np.testing.assert_allclose(video.var(0), SMALL.video_noise, rtol=0.05)
    audio = made.audio_states(data["audio"]) - truth
    np.testing.assert_allclose(audio.var(0), SMALL.audio_noise, rtol=0.05)
    # White, and independent of the truth: else the posterior would be another one.
    assert abs(np.corrcoef(video[:-1, 0], video[1:, 0])[0, 1]) < 0.03
    assert abs(np.corrcoef(video[:, 1], truth[:, 1])[0, 1]) < 0.03
    assert abs(np.corrcoef(video[:, 0], audio[:, 0])[0, 1]) < 0.03


def brute_force(settings, y_video, y_audio, rows, shown, heard_ticks, c, before):
    """Gaussian conditioning by one dense solve per clip and target."""
    n_clips, n_ticks, _ = y_video.shape
    n_rows = n_ticks + c - 1
    means = np.zeros((n_clips, n_ticks, 2))
    times = np.arange(n_rows)
    for clip in range(n_clips):
        for target in (0, 1):
            decay = settings.decay[target]
            at, seen, noise = [], [], []
            if shown is not None:
                for tick in sorted(set(shown[clip]) - {-1}):
                    at.append(tick + before)
                    seen.append(y_video[clip, tick, target])
                    noise.append(settings.video_noise)
            if heard_ticks is not None:
                heard = set()
                for tick in set(heard_ticks[clip]) - {-1}:
                    heard |= set(range(tick, tick + c))
                for row in sorted(heard):
                    if rows[clip, row]:
                        at.append(row)
                        seen.append(y_audio[clip, row, target])
                        noise.append(settings.audio_noise[target])
            if not at:
                continue
            at = np.array(at)
            gram = decay ** np.abs(at[:, None] - at[None]) + np.diag(noise)
            ticks = times[before : before + n_ticks]
            cross = decay ** np.abs(ticks[:, None] - at[None])
            means[clip, :, target] = cross @ np.linalg.solve(gram, np.array(seen))
    return means * synthetic_settings.LABEL_STD


@pytest.mark.parametrize("before", [4, 2, 0])
@pytest.mark.parametrize("variant", ["both", "video", "audio"])
def test_posterior_equals_brute_force(before, variant):
    rng = np.random.default_rng(before)
    n_clips, n_ticks, c = 5, 9, 5
    y_video = rng.normal(size=(n_clips, n_ticks, 2))
    y_audio = rng.normal(size=(n_clips, n_ticks + c - 1, 2))
    rows = rng.random((n_clips, n_ticks + c - 1)) < 0.7
    ticks = np.tile(np.arange(n_ticks), (n_clips, 1))
    video = np.where(rng.random(ticks.shape) < 0.5, -1, ticks)
    video[1] = np.maximum.accumulate(video[1])  # repeats
    video[2] = -1
    audio = np.where(rng.random(ticks.shape) < 0.6, -1, ticks)
    audio[2:4] = -1
    sources = [
        None if variant == "audio" else video,
        None if variant == "video" else audio,
    ]
    settings = dataclasses.replace(SMALL, valence_secs=0.2, arousal_secs=0.4)
    made = optimum.Optimum(settings, c, before)
    found = made.posterior_means(y_video, y_audio, rows, *sources)
    expected = brute_force(
        settings, y_video, y_audio, rows, *sources, c=c, before=before
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)
    if variant != "both":
        assert (found[2] == 0).all()


def test_impossible_settings():
    with pytest.raises(errors.ConfigError, match="--video_dim=7: must be even"):
        synthetic.SyntheticConfig(video_dim=7)
    with pytest.raises(errors.ConfigError, match="--min_ticks=9: must be at most"):
        synthetic.SyntheticConfig(min_ticks=9, max_ticks=8)
    with pytest.raises(errors.DataError, match="no recording 'x'"):
        list(synthetic.SyntheticCorpus(SMALL).read("x"))


def test_gaps_that_can_not_be_so_short_are_refused():
    message = "--no_face=0.8: must be at most 0.75 where a stretch lasts --gap_secs=0.1"
    with pytest.raises(errors.ConfigError, match=message):
        synthetic.SyntheticConfig(no_face=0.8, gap_secs=0.1)
    made = synthetic.SyntheticConfig(
        no_face=0.75, gap_secs=0.1, train_speakers=1, min_ticks=20_000, max_ticks=20_000
    )
    corpus = synthetic.SyntheticCorpus(dataclasses.replace(made, video_dim=4))
    blocks = corpus.read(corpus.recordings()[0].recording_id)
    present = np.concatenate([block.video_present for block in blocks])
    assert abs(present.mean() - 0.25) < 0.02
