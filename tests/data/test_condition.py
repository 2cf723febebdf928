"""Conditions in words."""

import hypothesis
import pytest
from hypothesis import strategies as st

from avexp_tf import errors
from avexp_tf.data import condition
from avexp_tf.data import patterns


def test_the_grammar_knows_every_pattern_of_the_registry():
    for name in patterns.PATTERNS:
        burst = ":4" if name == "gilbert_elliott" else ""
        assert condition.parse(f"video:{name}:0.5{burst}").pattern == name


@hypothesis.given(
    st.sampled_from(condition.MODALITIES),
    st.sampled_from(["clip_zero", "frame_zero", "frame_repeat", "subclip_zero"]),
    st.integers(0, 1000),
)
def test_round_trip(modality, pattern, thousandths):
    made = condition.Condition(modality, pattern, thousandths / 1000)
    assert condition.parse(str(made)) == made


def test_bursts_round_trip():
    made = condition.parse("each:gilbert_elliott:0.3:12:repeat")
    assert (made.p, made.mean_burst, made.concealment) == (0.3, 12.0, "repeat")
    assert condition.parse(str(made)) == made
    assert condition.parse("video:gilbert_elliott:0.3:12").concealment == "zero"
    assert condition.parse("each:gilbert_elliott_repeat:0.3:12") == made
    assert made.pattern_label == "gilbert_elliott_repeat"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must read MODALITY:PATTERN:P"),
        ("video:frame_zero", "must read MODALITY:PATTERN:P"),
        ("film:frame_zero:0.5", "modality 'film' must be one of"),
        ("video:frame_drop:0.5", "pattern 'frame_drop' must be one of"),
        ("video:frame_zero:half", "p = 'half' is not a number"),
        ("video:frame_zero:1.2", r"p = 1.2 must be in \[0, 1\]"),
        ("video:frame_zero:nan", r"must be in \[0, 1\]"),
        ("video:frame_zero:0.5:3", "takes p alone"),
        ("audio:face_zero:0.5", "face_zero: modality 'audio' must be video"),
        ("both:face_zero:0.5", "face_zero: modality 'both' must be video"),
        ("video:face_zero:2", r"p = 2 must be in \[0, 1\]"),
        ("video:gilbert_elliott:0.5", r"P:MEAN_BURST\[:zero|repeat\]"),
        ("video:gilbert_elliott:0.5:x", "mean burst = 'x' is not a number"),
        ("video:gilbert_elliott:0.5:inf", "mean burst inf must be at least 1"),
        ("video:gilbert_elliott:0.9:2", "p = 0.9 must be at most"),
        ("video:gilbert_elliott:0.3:2:hold", "concealment 'hold' must be zero or"),
    ],
)
def test_errors_name_value_and_rule(text, rule):
    with pytest.raises(errors.ConfigError, match=rule) as caught:
        condition.parse(text)
    assert repr(text) in str(caught.value)


def test_ablation_of_mixtures():
    first, second = condition.parse_ablation(
        ("video:clip_zero:0.5|none", "audio:frame_zero:0.1")
    )
    assert [str(one) for one in first] == ["video:clip_zero:0.5", "none"]
    assert [str(one) for one in second] == ["audio:frame_zero:0.1"]
    assert condition.parse_ablation(()) == ()


def test_ablations_of_batches():
    # As flags cut it, at every comma.
    first, second = condition.parse_ablations(
        ("video:clip_zero:0.5|none", "audio:frame_zero:0.1/video:clip_zero:1")
    )
    assert [[str(one) for one in mixture] for mixture in first] == [
        ["video:clip_zero:0.5", "none"],
        ["audio:frame_zero:0.1"],
    ]
    assert second == condition.parse_ablation(("video:clip_zero:1",))
    assert condition.parse_ablations(()) == ((),)
    for text in ("none/", "/none", "none//none"):
        with pytest.raises(errors.ConfigError, match=f"{text}.*before or after a /"):
            condition.parse_ablations((text,))
