"""What the layers compute, against NumPy from the formulas."""

import numpy as np
import pytest
import tensorflow as tf

from avexp_tf.models import layers

B, T, S, D = 3, 6, 9, 8


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def attended(layer, queries, memory, mask=None, slopes=None):
    """Attention from its formula, one clip, one head and one query at a time."""

    def dense(name, x):
        made = getattr(layer, f"{name}_dense")
        return x @ made.kernel.numpy() + made.bias.numpy()

    width = D // layer.num_heads
    mixed = np.zeros((len(queries), queries.shape[1], D))
    for b in range(len(queries)):
        query, key, value = (
            dense("query", queries[b]),
            dense("key", memory[b]),
            dense("value", memory[b]),
        )
        for h in range(layer.num_heads):
            at = slice(h * width, (h + 1) * width)
            for t in range(queries.shape[1]):
                logits = key[:, at] @ query[t, at]
                if layer.scale:
                    logits = logits / np.sqrt(width)
                if slopes is not None:
                    logits = logits - slopes[h] * np.abs(np.arange(len(key)) - t)
                if mask is not None:
                    logits = np.where(mask[b], logits, -np.inf)
                mixed[b, t, at] = softmax(logits) @ value[:, at]
    return dense("output", mixed)


@pytest.mark.parametrize("num_heads", [1, 2, 4])
@pytest.mark.parametrize("scale", [True, False])
def test_attention(num_heads, scale):
    layer = layers.Attention(num_heads, scale=scale)
    queries, memory = normal(B, T, D), normal(B, S, D, seed=1)
    mask = np.random.default_rng(2).random((B, S)) < 0.6
    mask[:, 0] = True
    found = layer(queries, memory, key_mask=mask)
    np.testing.assert_allclose(found, attended(layer, queries, memory, mask), atol=1e-5)
    found = layer(queries, memory)
    np.testing.assert_allclose(found, attended(layer, queries, memory), atol=1e-5)


def test_attention_that_falls_with_distance():
    layer = layers.Attention(4, distance_bias=True)
    x = normal(B, T, D)
    found = layer(x, x)
    # 2^(-8 h / 4) for h = 1 .. 4.
    expected = attended(layer, x, x, slopes=[1 / 4, 1 / 16, 1 / 64, 1 / 256])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected - attended(layer, x, x)).max() > 1e-3


def test_what_is_masked_does_not_matter_and_all_masked_is_finite():
    layer = layers.Attention(2)
    queries, memory = normal(1, T, D), normal(1, S, D, seed=1)
    mask = np.arange(S)[None] < 5
    found = layer(queries, memory, key_mask=mask)
    memory[:, 5:] = 1e3
    np.testing.assert_array_equal(layer(queries, memory, key_mask=mask), found)
    assert np.isfinite(layer(queries, memory, key_mask=np.zeros((1, S), bool))).all()


def test_dropout_only_in_training():
    for layer in (
        layers.Attention(2, dropout=0.5),
        layers.Crossmodal(2, dropout=0.5),
    ):
        x = normal(B, T, D)
        np.testing.assert_array_equal(layer(x, x), layer(x, x, training=False))
        assert (layer(x, x, training=True).numpy() != layer(x, x).numpy()).any()
    layer = layers.EncoderLayer(2, 8, dropout=0.5)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert (layer(x, training=True).numpy() != layer(x).numpy()).any()


def test_crossmodal_is_the_papers_sum():
    layer = layers.Crossmodal(2)
    video, audio = normal(B, T, D), normal(B, T, D, seed=1)
    layer(video, audio)
    layer.alpha.assign(0.3)
    layer.beta.assign(-0.7)
    video_mask = np.random.default_rng(3).random((B, T)) < 0.7
    audio_mask = ~video_mask
    video_mask[:, 0] = audio_mask[:, 1] = True
    found = layer(video, audio, video_key_mask=video_mask, audio_key_mask=audio_mask)
    # Queries of one modality, keys and values of the other, added to the queries' own.
    video_sees = attended(layer.video_to_audio, video, audio, audio_mask)
    audio_sees = attended(layer.audio_to_video, audio, video, video_mask)
    expected = (video + 0.3 * video_sees) + (audio - 0.7 * audio_sees)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_layer(norm, activation):
    layer = layers.EncoderLayer(2, 12, norm=norm, activation=activation)
    x = normal(B, T, D)
    found = layer(x)
    inner, outer = layer.ff_inner, layer.ff_outer

    def feed_forward(y):
        y = y @ inner.kernel.numpy() + inner.bias.numpy()
        y = np.maximum(y, 0) if activation == "relu" else tf.nn.gelu(y).numpy()
        return y @ outer.kernel.numpy() + outer.bias.numpy()

    if norm == "pre":
        y = normalised(x)
        y = x + attended(layer.attention, y, y)
        expected = y + feed_forward(normalised(y))
    else:
        y = normalised(x + attended(layer.attention, x, x))
        expected = normalised(y + feed_forward(y))
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("width", [8, 512])
def test_positions(width):
    found = layers.SinusoidalPositions()(np.ones((2, 300, width), np.float32))
    ticks, columns = np.arange(300)[:, None], np.arange(width)[None]
    angles = ticks / 10_000 ** (columns // 2 * 2 / width)
    expected = 1 + np.where(columns % 2, np.cos(angles), np.sin(angles))
    np.testing.assert_allclose(found, np.stack([expected] * 2), atol=1e-4)


SOURCES = {
    "zeros": [[0, -1, -1, 3, 4, -1], [-1] * 6],
    "repeats": [[0, 0, 0, 3, 3, 3], [-1, -1, 2, 2, 2, 5]],
    "background": [[0, 7, 2, 9, 10, -1], [6, 7, 8, 9, 10, 11]],
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("width", [16, 4096])
def test_frame_select_is_explicit_zeroing_and_repetition_of_the_inputs(kind, width):
    rng = np.random.default_rng(5)
    source = np.array(SOURCES[kind], np.int32)
    frames = np.maximum(rng.normal(size=(2, 12, width)), 0).astype(np.float32)
    kernel = (rng.normal(size=(width, D)) / np.sqrt(width)).astype(np.float32)
    bias = normal(D, seed=6)

    layer = layers.FrameSelect()
    layer.build((2, 12, D), source.shape)
    layer.bias.assign(bias)
    found = layer(frames @ kernel, source)

    # What the receiver's inputs would be, one tick at a time.
    shown = np.zeros((2, 6, width), np.float32)
    for clip, tick in np.ndindex(2, 6):
        if source[clip, tick] >= 0:
            shown[clip, tick] = frames[clip, source[clip, tick]]
    np.testing.assert_allclose(found, shown @ kernel + bias, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["zeros", "repeats"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_missing_embedding_takes_the_place_of_the_bias(kind, dtype):
    source = np.array(SOURCES[kind], np.int32)
    plain = layers.FrameSelect(dtype=dtype)
    learned = layers.FrameSelect(missing_embedding=True, dtype=dtype)
    frames = tf.cast(normal(2, 6, D), plain.compute_dtype)
    for layer in (plain, learned):
        layer.build(frames.shape, source.shape)
        layer.bias.assign(normal(D, seed=1))
    learned.embedding.assign(normal(D, seed=2))
    shown, found = plain(frames, source).numpy(), learned(frames, source).numpy()
    np.testing.assert_array_equal(found[source >= 0], shown[source >= 0])
    lost = found[source < 0].astype(np.float32)
    np.testing.assert_allclose(lost, [normal(D, seed=2)] * len(lost), rtol=1e-2)
