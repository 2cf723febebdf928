"""Two replicas step as one: uneven batches, masked replicas, clipping, whole runs."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import config
from avexp_tf import objectives
from avexp_tf.models import crossmodal_transformer
from avexp_tf.training import optimizer
from avexp_tf.training import strategy as strategies
from avexp_tf.training import trainer

DIMS = crossmodal_transformer.InputDims(video=6, audio=4, context_ticks=5)
MODEL = config.ModelConfig(d_model=8, num_heads=2, ff_dim=16, num_layers=1, dropout=0.0)
T = 12


def batch_of(n_clips, seed=0, masked_from=None):
    rng = np.random.default_rng(seed)
    ticks = np.tile(np.arange(T, dtype=np.int32), (n_clips, 1))
    inputs = {
        "video": np.float32(rng.normal(size=(n_clips, T, DIMS.video))),
        "audio": np.float32(
            rng.normal(size=(n_clips, T + DIMS.context_ticks - 1, DIMS.audio))
        ),
        "video_source": ticks,
        "audio_source": np.where(rng.random(ticks.shape) < 0.3, -1, ticks),
        "valid": np.ones((n_clips, T), bool),
    }
    labels = {
        name: np.float32(rng.normal(scale=0.3, size=(n_clips, T)))
        for name in config.TARGETS
    }
    labels["arousal"][:, ::3] = np.nan
    if masked_from is not None:
        for values in labels.values():
            values[masked_from:] = np.nan
    return inputs, labels


def two_replicas():
    return strategies.choose(virtual_cpus=2)


def of_any_size(batch):
    """A data set of one batch, for which one graph is traced whatever its size."""
    signature = tf.nest.map_structure(
        lambda values: tf.TensorSpec([None, *values.shape[1:]], values.dtype), batch
    )
    return tf.data.Dataset.from_generator(lambda: [batch], output_signature=signature)


def train(strategy, batches, **options):
    """The weights and the losses of a training; see `model_of`."""
    model, losses = model_of(strategy, batches, **options)
    return [weight.numpy() for weight in model.trainable_variables], losses


def model_of(strategy, batches, max_norm=0.0, sgd=False, interval=0.0):
    keras.utils.set_random_seed(1)
    settings = dataclasses.replace(MODEL, interval=interval)
    with strategy.scope():
        model = crossmodal_transformer.build(settings, DIMS)
        made = optimizer.GlobalClipAdam(learning_rate=0.01, max_norm=max_norm)
        if sgd:
            made = keras.optimizers.SGD(0.1)
    run = trainer.Trainer(model, made, strategy, interval)
    losses = []
    for batch in batches:
        losses += list(run.losses(of_any_size(batch)))
    return model, losses


@pytest.mark.parametrize(
    "batch",
    [batch_of(6), batch_of(5), batch_of(1), batch_of(6, masked_from=3)],
    ids=["even", "uneven", "fewer clips than replicas", "one replica masked"],
)
def test_one_step_on_two_replicas_is_one_step_on_one(batch):
    # SGD shows the gradient itself; Adam would hide a wrong scale.
    alone, loss_alone = train(tf.distribute.get_strategy(), [batch], sgd=True)
    mirrored, loss_mirrored = train(two_replicas(), [batch], sgd=True)
    assert loss_mirrored == pytest.approx(loss_alone, abs=1e-5)
    start, _ = train(tf.distribute.get_strategy(), [], sgd=True)
    moved = max(np.abs(a - s).max() for a, s in zip(alone, start, strict=True))
    assert moved > 1e-3
    for one, two in zip(alone, mirrored, strict=True):
        np.testing.assert_allclose(two, one, atol=2e-6)


def test_a_step_with_intervals_is_the_same_on_two_replicas():
    batch = batch_of(5)
    alone, loss_alone = train(
        tf.distribute.get_strategy(), [batch], sgd=True, interval=0.9
    )
    mirrored, loss_mirrored = train(two_replicas(), [batch], sgd=True, interval=0.9)
    assert loss_mirrored == pytest.approx(loss_alone, abs=1e-5)
    for one, two in zip(alone, mirrored, strict=True):
        np.testing.assert_allclose(two, one, atol=2e-6)


def test_intervals_change_nothing_that_estimates_follow_from():
    max_norm = 0.05  # below that of every gradient here
    batches = [batch_of(6, seed=seed) for seed in range(4)]
    here = tf.distribute.get_strategy()
    plain, losses = model_of(here, batches, max_norm)
    bounded, same_losses = model_of(here, batches, max_norm, interval=0.9)
    start, _ = model_of(here, [], interval=0.9)
    assert same_losses == losses
    found = {weight.path: weight.numpy() for weight in bounded.weights}
    for weight in plain.weights:
        np.testing.assert_array_equal(found.pop(weight.path), weight)
    assert len(found) == 5  # two kernels, two biases, and the calibration
    for weight in start.trainable_weights:
        if weight.path in found:
            assert (found[weight.path] != weight.numpy()).any()


@pytest.mark.slow
def test_a_short_training_ends_with_the_same_weights():
    batches = [batch_of(n, seed=n) for n in (6, 5, 4, 7, 6, 3, 5, 6)]
    alone, _ = train(tf.distribute.get_strategy(), batches)
    mirrored, _ = train(two_replicas(), batches)
    for one, two in zip(alone, mirrored, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-4)


@pytest.mark.parametrize("n_replicas", [1, 2])
def test_one_graph_for_all_batches_is_one_for_each_size(n_replicas):
    strategy = two_replicas() if n_replicas == 2 else tf.distribute.get_strategy()
    data = tf.data.Dataset.from_tensor_slices(batch_of(10)).batch(4)  # 4, 4 and 2
    found = []
    for few_steps in (False, True):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = crossmodal_transformer.build(MODEL, DIMS)
            made = optimizer.GlobalClipAdam(learning_rate=0.01)
        run = trainer.Trainer(model, made, strategy, few_steps=few_steps)
        found.append(list(run.losses(data)))
        n_graphs = run._compiled_step.experimental_get_tracing_count()
        assert n_graphs == (1 if few_steps else 2)
    assert len(found[0]) == 3
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_clipping_is_of_the_global_gradient():
    batch = batch_of(6)
    alone, _ = train(tf.distribute.get_strategy(), [batch] * 3, max_norm=0.05)
    mirrored, _ = train(two_replicas(), [batch] * 3, max_norm=0.05)
    free, _ = train(tf.distribute.get_strategy(), [batch] * 3)
    for one, two in zip(alone, mirrored, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)
    assert max(np.abs(a - f).max() for a, f in zip(alone, free, strict=True)) > 1e-5


@pytest.mark.parametrize("n_replicas", [1, 2])
def test_clipped_step_has_the_norm_that_was_asked_for(n_replicas):
    strategy = two_replicas() if n_replicas == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        variable = keras.Variable([1.0, 2.0])
        made = optimizer.GlobalClipAdam(max_norm=0.5)
        made.build([variable])

    def replica():
        gradient = tf.constant([3.0, 4.0]) / n_replicas
        ((reduced, _),) = made._all_reduce_sum_gradients([(gradient, variable.value)])
        return reduced

    reduced = strategy.experimental_local_results(
        tf.function(lambda: strategy.run(replica))()
    )[0]
    np.testing.assert_allclose(reduced, [0.3, 0.4], atol=1e-6)


def test_gradient_accumulation_is_refused():
    with pytest.raises(ValueError, match="gradient_accumulation_steps does not work"):
        optimizer.GlobalClipAdam(gradient_accumulation_steps=2)


def test_keras_fit_under_a_strategy_takes_the_same_step():
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(6, T, 3)))
    y = np.float32(rng.normal(size=(6, T)))
    y[4:] = np.nan  # the second replica holds one valid clip, the first three

    def fitted(strategy):
        with strategy.scope():
            model = keras.Sequential(
                [
                    keras.Input((T, 3)),
                    keras.layers.Dense(1, kernel_initializer="ones"),
                    keras.layers.Reshape((-1,)),
                ]
            )
            model.compile(keras.optimizers.SGD(0.5), objectives.CCCLoss())
        model.fit(x, y, batch_size=6, epochs=1, verbose=0, shuffle=False)
        return model.get_weights()[0]

    alone = fitted(tf.distribute.get_strategy())
    assert np.abs(alone - 1).max() > 1e-3
    np.testing.assert_allclose(fitted(two_replicas()), alone, atol=1e-6)
