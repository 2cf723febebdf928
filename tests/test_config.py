"""Config to flags to JSON and back; impossible values in one line."""

import dataclasses
import json

import hypothesis
import pytest
from absl import flags as absl_flags
from hypothesis import strategies as st

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags
from avexp_tf import options
from avexp_tf.corpora import synthetic

SECTIONS = (
    config.RecordsConfig,
    config.DataConfig,
    config.ModelConfig,
    config.TrainConfig,
    synthetic.SyntheticConfig,
)

# Of the words of a list, absl strips spaces.
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z"))).map(str.strip)


def values_of(kind, field):
    """What a field may hold, by its declaration."""
    limits = field.metadata
    low, high = limits["minimum"], limits["maximum"]
    if limits["choices"]:
        return st.sampled_from(limits["choices"])
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(int(low or 0), int(high) if high else 10**6)
    if kind is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if kind is tuple:
        return st.lists(WORDS).map(tuple)
    return st.text(st.characters(exclude_categories=("Cs",)))


@st.composite
def sections(draw, section):
    kinds = options.field_kinds(section)
    declared = {field.name: field for field in dataclasses.fields(section)}
    values = {
        name: draw(values_of(kind, declared[name])) for name, kind in kinds.items()
    }
    try:
        return section(**values)
    except errors.ConfigError:
        hypothesis.reject()  # fields that contradict each other


@pytest.mark.parametrize("section", SECTIONS)
@hypothesis.settings(max_examples=30)
@hypothesis.given(st.data())
def test_any_section_goes_to_flags_and_back(section, data):
    made = data.draw(sections(section))
    defined = absl_flags.FlagValues()
    flags.define(section, flag_values=defined)
    defined(["program", *flags.to_args(made)])
    assert flags.parsed(section, defined) == made


@pytest.mark.parametrize("section", SECTIONS)
@hypothesis.settings(max_examples=30)
@hypothesis.given(st.data())
def test_any_section_goes_to_json_and_back(section, data):
    made = data.draw(sections(section))
    text = json.dumps(config.to_dict(made))
    assert config.from_dict(section, json.loads(text)) == made


@hypothesis.settings(max_examples=20)
@hypothesis.given(st.data())
def test_an_experiment_goes_to_a_file_and_back(tmp_path_factory, data):
    model = data.draw(sections(config.ModelConfig))
    # Drawn at random, hardly any width is a multiple of the heads.
    width = model.num_heads * data.draw(st.integers(1, 64))
    made = config.ExperimentConfig(
        data.draw(sections(config.DataConfig)),
        dataclasses.replace(model, d_model=width),
        data.draw(sections(config.TrainConfig)),
    )
    path = tmp_path_factory.mktemp("config") / "config.json"
    path.write_text(json.dumps(config.to_dict(made)), encoding="utf-8")
    assert config.load(config.ExperimentConfig, path) == made


def test_flags_that_are_not_given_have_the_defaults():
    defined = absl_flags.FlagValues()
    flags.define(*SECTIONS, flag_values=defined)
    flags.define(*SECTIONS, flag_values=defined)  # twice, as in a notebook
    defined(["program"])
    for section in SECTIONS:
        assert flags.parsed(section, defined) == section()


def test_overrides_come_before_flags_and_skipped_fields_have_none():
    defined = absl_flags.FlagValues()
    flags.define(config.TrainConfig, skip=("seed",), flag_values=defined)
    assert "seed" not in defined
    defined(["program", "--epochs=3", "--name=x"])
    made = flags.parsed(config.TrainConfig, defined, seed=7, name="y")
    assert made == config.TrainConfig(epochs=3, seed=7, name="y")


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (config.TrainConfig, {"epochs": 0}, "--epochs=0: must be at least 1"),
        (config.TrainConfig, {"epochs": 1.5}, "--epochs=1.5: must be of type int, is"),
        (config.TrainConfig, {"epochs": True}, "must be of type int, is bool"),
        (config.TrainConfig, {"schedule": "x"}, "--schedule=x: must be one of constan"),
        (config.TrainConfig, {"ablation": "x"}, "--ablation=x: must be of type tuple"),
        (config.TrainConfig, {"ablation": ["x", 1]}, "--ablation=x,1: must hold strin"),
        (config.ModelConfig, {"dropout": 1}, "--dropout=1: must be at most 0.95"),
        (config.DataConfig, {"clip_ticks": 10_001}, "=10001: must be at most 10000"),
        (config.TrainConfig, {"seed": 10**22}, f"{10**22}: must be at most 2147483647"),
        (config.TrainConfig, {"epochs": 10**22}, f"{10**22}: must be at most {2**63}"),
        (config.TrainConfig, {"learning_rate": 10**400}, "must be a finite number"),
        (
            config.ModelConfig,
            {"crossmodal_init": float("nan")},
            "--crossmodal_init=nan: must be a finite number",
        ),
        (
            config.TrainConfig,
            {"learning_rate": float("inf")},
            "--learning_rate=inf: must be a finite number",
        ),
    ],
)
def test_an_impossible_value_is_named_with_its_rule(section, values, message):
    with pytest.raises(errors.ConfigError) as caught:
        section(**values)
    assert message in str(caught.value)
    with pytest.raises(errors.ConfigError) as caught:
        config.from_dict(section, values, "some.json")
    assert str(caught.value).startswith("some.json: --")
    assert message in str(caught.value)


def test_heads_must_divide_the_width():
    with pytest.raises(errors.ConfigError, match="--d_model=6: must be a multiple of"):
        config.ExperimentConfig(model=config.ModelConfig(d_model=6, num_heads=4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "config.json: can't be read: No such file or directory"),
        ("{", "config.json: is not JSON: "),
        ("[]", r"config.json: must be a JSON object, is \[\]"),
        ('{"data": 1}', "config.json: must be a JSON object, is 1"),
        ('{"date": {}}', "config.json: unknown setting 'date'; known are data, model"),
        ('{"train": {"epoch": 1}}', "config.json: unknown setting 'epoch'; known are"),
        ('{"train": {"seed": -1}}', "config.json: --seed=-1: must be at least 0"),
        ('{"model": {"num_heads": 3}}', "config.json: --d_model=512: must be a multip"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.ConfigError, match=message):
        config.load(config.ExperimentConfig, path)


def test_context_rows_before_the_tick():
    assert config.RecordsConfig(context_ticks=60).context_before == 59
    centered = config.RecordsConfig(context_ticks=60, context="centered")
    assert centered.context_before == 30
