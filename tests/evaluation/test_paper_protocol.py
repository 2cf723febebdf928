"""The paper's models and test points, and what --conditions may hold."""

import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import condition
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import sweep


def test_the_papers_six_models():
    base = config.ExperimentConfig(train=config.TrainConfig(epochs=3))
    made = {name: protocol.experiment_of(name, base, 7) for name in protocol.RECIPES}
    assert {name: (e.model.variant, e.train.ablation) for name, e in made.items()} == {
        "baseline": ("audio_visual", ()),
        "clip_zero": ("audio_visual", ("video:clip_zero:0.5",)),
        "frame_zero": ("audio_visual", ("video:frame_zero:0.5",)),
        "frame_repeat": ("audio_visual", ("video:frame_repeat:0.5",)),
        "video_only": ("video_only", ()),
        "audio_only": ("audio_only", ()),
    }
    for name, experiment in made.items():
        assert experiment.train.name == name
        assert (experiment.train.seed, experiment.train.epochs) == (7, 3)
    with pytest.raises(errors.ConfigError, match="model 'x': must be one of baseline"):
        protocol.experiment_of("x", base, 0)


def test_the_papers_test_points():
    tested = protocol.test_conditions()
    assert tested[0] == condition.NONE
    assert len(tested) == len(set(tested)) == 1 + 2 * 3 * 4
    points = {
        pattern: {c.p for c in tested if c.pattern == pattern}
        for pattern in ("clip_zero", "frame_zero", "frame_repeat")
    }
    assert points["clip_zero"] == {1.0, 0.7, 0.5, 0.3}
    assert points["frame_zero"] == points["frame_repeat"] == {1.0, 0.95, 0.9, 0.85}


def test_conditions_in_words():
    found = protocol.parse_conditions(["protocol"])
    assert found == protocol.test_conditions()
    found = protocol.parse_conditions(
        ["audio:frame_zero:0.5", " none", "video:clip_zero:0", "audio:frame_zero:0.5"]
    )
    assert [str(c) for c in found] == ["none", "audio:frame_zero:0.5"]
    assert protocol.parse_conditions([]) == [condition.NONE]
    with pytest.raises(errors.ConfigError, match="condition 'x'"):
        protocol.parse_conditions(["x"])


def test_a_condition_is_drawn_once_per_seed_where_something_is_drawn():
    tested = protocol.parse_conditions(["video:clip_zero:1", "video:frame_zero:0.5"])
    found = [(str(c), seed) for c, seed in sweep.sweep_of(tested, [3, 4])]
    assert found == [
        ("none", 3),
        ("video:clip_zero:1", 3),
        ("video:frame_zero:0.5", 3),
        ("video:frame_zero:0.5", 4),
    ]


def test_seeds_in_words():
    assert sweep.check_seeds("loss_seeds", ["3", " 1", "3"]) == [3, 1]
    for texts in ([], ["-1"], ["x"], ["1.5"], ["1", ""], [str(2**31)]):
        with pytest.raises(errors.ConfigError, match="--loss_seeds=.*: must be whole"):
            sweep.check_seeds("loss_seeds", texts)


def test_titles():
    assert protocol.title_of("frame_zero") == "Frame-Zero"
    assert protocol.title_of("mine") == "mine"
