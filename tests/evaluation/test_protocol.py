"""Which models a study trains, and what they are tested on."""

import pytest
from absl import flags

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import presets
from avexp_tf.data import condition
from avexp_tf.evaluation import protocol

BASE = config.ExperimentConfig(train=config.TrainConfig(epochs=6))


def test_the_papers_models_are_always_trained():
    assert list(protocol.parse_models(["paper"])) == list(protocol.RECIPES)
    assert list(protocol.parse_models([])) == list(protocol.RECIPES)
    more = protocol.parse_models(["robust", "paper"])
    assert list(more) == [*protocol.RECIPES, "robust"]
    assert set(protocol.parse_models(["all"])) == {
        *protocol.RECIPES,
        *protocol.FURTHER,
    }


def test_a_loss_of_ones_own():
    found = protocol.parse_models(
        ["mine=video:gilbert_elliott:0.3:12|none+audio:clip_zero:0.5"]
    )["mine"]
    experiment = protocol.experiment_of("mine", BASE, 3, found)
    assert experiment.train.ablation == (
        "video:gilbert_elliott:0.3:12|none",
        "audio:clip_zero:0.5",
    )
    assert (experiment.train.name, experiment.train.seed) == ("mine", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody", "--models=nobody: must be paper, all, NAME=LOSS or one of baseline"),
        ("baseline=none", "'baseline' must be a new name"),
        ("a/b=none", "'a/b' must be a new name"),
        ("Baseline=none", "'Baseline' must be a new name"),
        ("lost=none", "'lost' must be a new name .* and no column of a table"),
        ("quiet_only=none", "a name ends in _only if the model takes one modality"),
        ("mine=", "names no loss after ="),
        ("mine=video:clip_zero:2", r"p = 2 must be in \[0, 1\]"),
    ],
)
def test_models_that_can_not_be_trained(text, message):
    with pytest.raises(errors.ConfigError, match=message):
        protocol.parse_models([text])


@pytest.mark.parametrize("name", protocol.FURTHER)
def test_every_further_model_has_an_experiment_of_its_own(name):
    experiment = protocol.experiment_of(name, BASE, 0)
    condition.parse_ablations(experiment.train.ablation)
    base = protocol.experiment_of("baseline", BASE, 0)
    assert experiment.train.ablation != base.train.ablation
    recipe = protocol.FURTHER[name]
    assert experiment.train.epochs == 6 * recipe.epochs_factor
    rate = base.train.learning_rate * recipe.rate_factor
    assert experiment.train.learning_rate == rate
    assert experiment.model.missing_embedding is bool(recipe.missing_embedding)
    assert experiment.model.ignore_missing is bool(recipe.ignore_missing)
    assert experiment.train.curriculum_epochs == (3 if recipe.curriculum else 0)


def test_the_preset_is_the_recipe_of_the_same_name():
    values = flags.FlagValues()
    avexp_flags.define(config.ModelConfig, config.TrainConfig, flag_values=values)
    values(["train", f"--flagfile={presets.path('robust.flags')}"])
    found = protocol.experiment_of("robust", config.ExperimentConfig(), 0)
    assert avexp_flags.parsed(config.ModelConfig, values) == found.model
    assert avexp_flags.parsed(config.TrainConfig, values) == found.train


def test_the_studys_conditions_begin_with_the_paper():
    paper, study = protocol.test_conditions(), protocol.study_conditions()
    assert study[: len(paper)] == paper and study[0] == condition.NONE
    assert len(set(study)) == len(study)
    bursts = [one for one in study if one.mean_burst and one.modality == "video"]
    assert {one.p for one in bursts} == {protocol.BURST_P}


def test_a_curriculum_makes_losses_rarer():
    ablation = condition.parse_ablation(
        ("video:frame_zero:0.8|none|video:gilbert_elliott:1:4",)
    )
    (half,) = condition.scaled(ablation, 0.5)
    assert [one.p for one in half] == [0.4, 0.0, 0.5]
    assert condition.scaled(ablation, 1) == ablation
    # No chain loses 95% in bursts of 4: the largest share that one can.
    (most,) = condition.scaled(ablation, 0.95)
    assert most[2].p == pytest.approx(0.8)
