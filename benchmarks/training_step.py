"""The training step at the paper's size, against PyTorch, plain Keras and the machine.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --rounds=9 --append

Batches of 32 clips of 100 ticks lie in memory: what is timed is the step that
avexp-train takes, forwards, backwards and Adam. Needs `pip install 'avexp-tf[bench]'`.
The machine's limit is its fastest product of two 4096 x 4096 matrices, in TensorFlow or
PyTorch, in the same round, divided by the multiplications and additions of all matrix
products of one clip's step. Before anything is timed, the PyTorch model gets the Keras
weights and must predict the same.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import made_records
import numpy as np
import paper_model
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime

_SIDE = 4096
_PRODUCTS = 1
_PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_LIMIT = "matrix products"
_CLOSE = 2e-4


def our_step(precision: str, steps: int) -> turns.Work:
    """The step of avexp-train."""
    runtime.configure(0, 1)
    import tensorflow as tf

    from avexp_tf.models import crossmodal_transformer
    from avexp_tf.training import optimizer
    from avexp_tf.training import trainer

    settings = config.TrainConfig(precision=_PRECISIONS[precision])
    model = crossmodal_transformer.build(
        config.ModelConfig(), paper_model.DIMS, settings.precision
    )
    run = trainer.Trainer(
        model, optimizer.build(settings, 1), tf.distribute.get_strategy()
    )
    batch = tf.data.Dataset.from_tensors(paper_model.made_clips()).repeat()
    losses = run.losses(batch)

    def work() -> float:
        for _ in range(steps):
            next(losses)
        return steps * paper_model.BATCH

    return work


def plain_keras_step(precision: str, steps: int) -> turns.Work:
    """Keras's `fit` on stacked vectors."""
    runtime.configure(0, 1)
    import keras
    import tensorflow as tf
    from peers import keras_model

    keras.mixed_precision.set_dtype_policy(_PRECISIONS[precision])
    model = keras_model.build(config.ModelConfig(), paper_model.DIMS)
    model.compile(keras.optimizers.Adam(1e-4), [keras_model.ccc_loss] * 2)
    inputs, labels = paper_model.made_clips()
    stacked = made_records.stacked(inputs["audio"], paper_model.DIMS.context_ticks)
    batch = tf.data.Dataset.from_tensors(
        (
            (inputs["video"], stacked),
            tuple(labels[target] for target in config.TARGETS),
        )
    ).repeat()

    def work() -> float:
        model.fit(batch, steps_per_epoch=steps, epochs=1, verbose=0)
        return steps * paper_model.BATCH

    return work


def torch_step(precision: str, is_compiled: bool, steps: int) -> turns.Work:
    """The step of a PyTorch user."""
    import torch
    from peers import torch_model

    model = torch_model.CrossmodalTransformer(config.ModelConfig(), paper_model.DIMS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    inputs, labels = paper_model.made_clips()
    names = ("video", "audio", "video_source", "audio_source")
    tensors = [torch.tensor(inputs[name]) for name in names]
    targets = [torch.tensor(labels[target]) for target in config.TARGETS]
    call = torch.compile(model) if is_compiled else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            predicted = call(*tensors)
        parts = map(torch_model.ccc_loss, predicted, targets)
        loss = sum(parts) / len(targets)
        loss.backward()
        optimizer.step()
        loss.item()

    def work() -> float:
        for _ in range(steps):
            step()
        return steps * paper_model.BATCH

    return work


def tensorflow_product(precision: str) -> turns.Work:
    """A large matrix product in TensorFlow; operations."""
    runtime.configure(0, 1)
    import tensorflow as tf

    one = tf.cast(tf.random.normal([_SIDE, _SIDE]), precision)
    product = tf.function(lambda: tf.matmul(one, one)[:1, :1])
    return _products(lambda: product().numpy())


def torch_product(precision: str) -> turns.Work:
    """The same in PyTorch."""
    import torch

    one = torch.randn(_SIDE, _SIDE).to(getattr(torch, precision))
    return _products(lambda: one @ one)


def _products(product: Callable[[], object]) -> turns.Work:
    def work() -> float:
        for _ in range(_PRODUCTS):
            product()
        return _PRODUCTS * 2.0 * _SIDE**3

    return work


def same_model() -> turns.Work:
    """Returns as work the largest difference of any prediction of the two models."""
    runtime.configure(0, 1)
    import torch
    from peers import torch_model

    from avexp_tf.models import crossmodal_transformer

    ours = crossmodal_transformer.build(config.ModelConfig(), paper_model.DIMS)
    rng = np.random.default_rng(1)
    for variable in ours.weights:
        if variable.dtype == "float32":  # also what starts as zero takes part
            noise = 0.02 * rng.standard_normal(variable.shape)
            variable.assign(variable + noise.astype(np.float32))
    theirs = torch_model.CrossmodalTransformer(config.ModelConfig(), paper_model.DIMS)
    theirs.load({one.path: np.asarray(one.value) for one in ours.trainable_variables})
    theirs.eval()
    inputs, _ = paper_model.made_clips(2)
    expected = ours(inputs, training=False)
    names = ("video", "audio", "video_source", "audio_source")
    with torch.no_grad():
        found = theirs(*(torch.tensor(inputs[name]) for name in names))
    largest = max(
        float(np.abs(one.numpy() - np.asarray(expected[target])).max())
        for one, target in zip(found, config.TARGETS, strict=True)
    )
    if not largest < _CLOSE:
        raise errors.RunError(f"the PyTorch model differs by {largest:.1e}")
    return lambda: largest


def contenders(precision: str, steps: int) -> list[turns.Contender]:
    """Returns all that take turns in one precision."""
    autocast = "" if precision == "float32" else " autocast"
    # Threads that wait for work must not use up processor time, where that counts.
    calm = {"OMP_WAIT_POLICY": "PASSIVE"} if flags.FLAGS.clock == "cpu" else {}
    return [
        turns.Contender("avexp_tf", our_step, (precision, steps)),
        turns.Contender("plain Keras, fit", plain_keras_step, (precision, steps)),
        turns.Contender(
            f"PyTorch eager{autocast}", torch_step, (precision, False, steps), calm
        ),
        turns.Contender(
            f"PyTorch compiled{autocast}", torch_step, (precision, True, steps), calm
        ),
        turns.Contender("product, TensorFlow", tensorflow_product, (precision,)),
        turns.Contender("product, PyTorch", torch_product, (precision,), calm),
    ]


def define_flags() -> None:
    """Defines the flags of this script."""
    turns.define_flags(rounds=7)
    flags.DEFINE_integer("steps", 3, "Steps of a turn.", module_name=avexp_flags.MODULE)
    flags.DEFINE_list(
        "without",
        [],
        "Words in the names of contenders to leave out, such as compiled.",
        module_name=avexp_flags.MODULE,
    )
    flags.DEFINE_list(
        "precisions", list(_PRECISIONS), "Arithmetic.", module_name=avexp_flags.MODULE
    )


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    cli.no_positionals(argv)
    turns.measure([turns.Contender("same model", same_model, (), {}, 0)], 0)
    operations = paper_model.training_operations()
    lines = [
        "| arithmetic | contender | clips/s (quartiles) | avexp_tf is faster by | "
        "share of the limit | memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    values = {}
    for precision in flags.FLAGS.precisions:
        taking_part = [
            one
            for one in contenders(precision, flags.FLAGS.steps)
            if not any(word in one.name for word in flags.FLAGS.without)
        ]
        found = turns.measure(taking_part, flags.FLAGS.rounds)
        products = [name for name in found.rates if name.startswith("product")]
        found.best_of(products, _LIMIT)
        for name in [*found.rates][: -len(products) - 1]:
            share = found.ratio(name, _LIMIT, operations)
            ratio = found.ratio("avexp_tf", name)
            low, high = found.spread(name)
            lines.append(
                f"| {precision} | {name} | {found.rate(name):.1f} ({low:.1f} to "
                f"{high:.1f}) | {ratio} | {share} | {found.peak_mb[name]:.0f} |"
            )
            values[f"{precision} {name}"] = {
                "clips_per_sec": found.rate(name),
                "ratio": ratio.median,
                "share_of_limit": share.median,
            }
        limit = found.rate(_LIMIT)
        lines.append(
            f"| {precision} | the limit: {limit / 1e9:.0f} GFLOP/s | "
            f"{limit / operations:.1f} | | 1 | |"
        )
        values[f"{precision} limit"] = {"gflops": limit / 1e9}
        load = found.load
    turns.finish(
        "Training step",
        f"{paper_model.BATCH} clips of {paper_model.TICKS} ticks, "
        f"{operations / 1e9:.1f} GFLOP per clip; medians of {flags.FLAGS.rounds} "
        f"interleaved rounds of {flags.FLAGS.steps} steps, quartiles in brackets; load "
        f"before the first round {load:.1f}.",
        lines,
        values,
    )


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
