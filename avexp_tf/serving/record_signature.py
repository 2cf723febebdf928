"""The signature `examples`: serialized records in, predictions of every tick out.

A record is cut into clips as evaluation cuts it, and predictions are averaged where
clips overlap, so that a server gives what `avexp-evaluate` measured.
"""

from __future__ import annotations

import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import schema
from avexp_tf.serving import signatures

_MOST_TICKS = 1_000_000  # of one record, as `--segment_ticks` allows
_CLIPS_AT_ONCE = 32  # whatever the records' length, memory is that of so many


class RecordPredictor:
    """Predicts batches of serialized records.

    Args:
      module: Runs the clips.
      layout: Of the records.
      data: How clips lie in a record: `clip_ticks` and `eval_stride`.
    """

    def __init__(
        self,
        module: signatures.ServingModule,
        layout: schema.Layout,
        data: config.DataConfig,
    ):
        self._module = module
        self._outputs = module.outputs
        self._layout = layout
        self._clip_ticks = data.clip_ticks
        self._stride = data.clip_stride

    @property
    def signature(self) -> signatures.Specs:
        """One input: `examples`, string [B]."""
        return {"examples": tf.TensorSpec([None], tf.string, "examples")}

    def predict(self, examples: tf.Tensor) -> signatures.Tensors:
        """Predicts records.

        Args:
          examples: string [B], each a `tf.train.Example` of the record schema.

        Returns:
          The model's outputs float32 [B, N], `valid` bool [B, N], where N is the
          length of the longest record; where `valid` is False there is 0.
        """
        records = self._parse(examples)
        n_ticks = records[schema.N_TICKS]
        record, start = self._clips(n_ticks)
        predicted = self._predict_in_pieces(records, record, start)
        return self._averaged(predicted, record, start, n_ticks)

    def _parse(self, examples: tf.Tensor) -> signatures.Tensors:
        """Arrays of all records, padded to the longest: [B, rows, columns]."""
        names = {
            schema.VIDEO,
            schema.AUDIO,
            schema.VIDEO_PRESENT,
            schema.AUDIO_PRESENT,
            schema.MARGIN_PRESENT,
            schema.BACKGROUND,
        }
        fields = [field for field in self._layout.fields if field.key in names]
        spec = {field.key: tf.io.FixedLenFeature([], tf.string) for field in fields}
        spec |= {
            key: tf.io.FixedLenFeature([], tf.int64)
            for key in (schema.N_TICKS, schema.SCHEMA_VERSION)
        }
        with tf.control_dependencies(
            [signatures.require(tf.size(examples) > 0, "there must be a record")]
        ):
            found = tf.io.parse_example(examples, spec)
        told = found[schema.N_TICKS]
        checks = [
            signatures.require(
                tf.reduce_all(found[schema.SCHEMA_VERSION] == schema.VERSION),
                f"schema_version must be {schema.VERSION}",
            ),
            signatures.require(
                tf.reduce_all((told > 0) & (told <= _MOST_TICKS)),
                f"n_ticks must be in 1 .. {_MOST_TICKS}",
            ),
        ]
        with tf.control_dependencies(checks):  # before its high bits are cut off
            n_ticks = tf.cast(told, tf.int32)
        longest = tf.reduce_max(n_ticks)
        records = {schema.N_TICKS: n_ticks}
        for field in fields:
            item_bytes = field.dtype.itemsize
            columns = 1
            for size in self._layout.shape(field, 0)[1:]:
                columns *= size
            row_bytes = columns * item_bytes
            # [B]: what each record must bring.
            rows = tf.fill(tf.shape(n_ticks), self._layout.shape(field, longest)[0])
            wanted = self._layout.shape(field, n_ticks)[0] * row_bytes
            checks.append(
                signatures.require(
                    tf.reduce_all(tf.strings.length(found[field.key]) == wanted),
                    f"{field.key} has another length than n_ticks says",
                )
            )
            dtype = tf.dtypes.as_dtype(field.dtype.newbyteorder("="))
            # The operator that pads has no kernel for float16.
            raw_dtype = tf.int16 if dtype == tf.float16 else dtype
            if field.rows == "margin" and not self._layout.shape(field, 0)[0]:
                # Without a context there is no margin, and nothing can't be decoded.
                records[field.key] = tf.zeros([tf.shape(n_ticks)[0], 0], dtype)
                continue
            with tf.control_dependencies(checks):
                flat = tf.io.decode_raw(
                    found[field.key], raw_dtype, fixed_length=rows[0] * row_bytes
                )
            flat = tf.bitcast(flat, dtype) if raw_dtype != dtype else flat
            shape = [-1, rows[0]] + ([columns] if field.columns else [])
            records[field.key] = tf.reshape(flat, shape)
        return records

    def _clips(self, n_ticks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Record and first tick of every clip, int32 [M] each.

        Reference: `clips.evaluation_starts`, for many records at once.
        """
        last = tf.maximum(n_ticks - self._clip_ticks, 0)  # [B]
        most = tf.reduce_max(last) // self._stride + 2
        starts = tf.minimum(tf.range(most)[None] * self._stride, last[:, None])
        # A clip that would start at or before the one before it is none.
        first = tf.ones_like(starts[:, :1], tf.bool)
        is_clip = tf.concat([first, starts[:, 1:] > starts[:, :-1]], axis=1)
        place = tf.cast(tf.where(is_clip), tf.int32)  # [M, 2]
        return place[:, 0], tf.gather_nd(starts, place)

    def _predict_in_pieces(
        self, records: signatures.Tensors, record: tf.Tensor, start: tf.Tensor
    ) -> signatures.Tensors:
        """Predictions of all clips, [M, T] per output."""
        n_clips = tf.size(record)
        n_pieces = -(-n_clips // _CLIPS_AT_ONCE)

        def one_piece(index: tf.Tensor, *found: tf.TensorArray) -> tuple:
            piece = slice(
                index * _CLIPS_AT_ONCE,
                tf.minimum((index + 1) * _CLIPS_AT_ONCE, n_clips),
            )
            predicted = self._predict_clips(records, record[piece], start[piece])
            return index + 1, *(
                array.write(index, predicted[name])
                for name, array in zip(self._outputs, found, strict=True)
            )

        arrays = [
            tf.TensorArray(
                tf.float32,
                n_pieces,
                infer_shape=False,
                element_shape=[None, self._clip_ticks],
            )
            for _ in self._outputs
        ]
        _, *found = tf.while_loop(
            lambda index, *_: index < n_pieces,
            one_piece,
            [tf.constant(0), *arrays],
            parallel_iterations=1,
        )
        return {
            name: array.concat()
            for name, array in zip(self._outputs, found, strict=True)
        }

    def _predict_clips(
        self, records: signatures.Tensors, record: tf.Tensor, start: tf.Tensor
    ) -> signatures.Tensors:
        n_ticks = tf.gather(records[schema.N_TICKS], record)[:, None]  # [M, 1]
        tick = start[:, None] + tf.range(self._clip_ticks)[None]  # [M, T]
        valid = tick < n_ticks

        def cut(name: str, place: tf.Tensor) -> tf.Tensor:
            rows = records[name]
            # What lies behind the padding is masked by `valid`.
            place = tf.minimum(place, tf.shape(rows)[1] - 1)
            owner = tf.broadcast_to(record[:, None], tf.shape(place))
            return tf.gather_nd(rows, tf.stack([owner, place], axis=-1))

        streams: signatures.Tensors = {}
        sources: signatures.Tensors = {}
        for name, key in (
            ("video", schema.VIDEO_PRESENT),
            ("audio", schema.AUDIO_PRESENT),
        ):
            present = (cut(key, tick) > 0) & valid
            ticks = tf.range(self._clip_ticks)[None]
            sources[name] = tf.where(present, ticks, -1)
        video = tf.cast(cut(schema.VIDEO, tick), tf.float32)
        streams["video"] = tf.where(sources["video"][..., None] >= 0, video, 0.0)
        if self._layout.has_background:
            scene = tf.cast(cut(schema.BACKGROUND, tick), tf.float32)
            streams["background"] = tf.where(valid[..., None], scene, 0.0)
            fallback = self._clip_ticks + tf.range(self._clip_ticks)
            shown = tf.reduce_any(streams["background"] != 0, axis=-1)
            missing = (sources["video"] < 0) & shown
            sources["video"] = tf.where(missing, fallback, sources["video"])
        margin = self._layout.context_ticks - 1
        row = start[:, None] + tf.range(self._clip_ticks + margin)[None]  # [M, T + C-1]
        heard = self._heard(records, record, row)
        streams["audio"] = self._module.normalised(cut(schema.AUDIO, row), heard)
        return self._module.run(self._module.finite(streams), sources, valid)

    def _heard(
        self, records: signatures.Tensors, record: tf.Tensor, row: tf.Tensor
    ) -> tf.Tensor:
        """Presence of rows of the audio stream: margin, ticks, margin."""
        before = self._layout.context_before
        n_ticks = tf.gather(records[schema.N_TICKS], record)[:, None]
        margin = tf.gather(records[schema.MARGIN_PRESENT], record)  # [M, C - 1]
        ticks = tf.gather(records[schema.AUDIO_PRESENT], record)  # [M, N]
        margin = tf.pad(margin, [[0, 0], [0, 1]])  # C may be 1
        place = tf.where(row < before, row, row - n_ticks)
        in_margin = tf.gather(
            margin,
            tf.clip_by_value(place, 0, tf.shape(margin)[1] - 1),
            batch_dims=1,
        )
        tick = tf.clip_by_value(row - before, 0, tf.shape(ticks)[1] - 1)
        in_ticks = tf.gather(ticks, tick, batch_dims=1)
        is_tick = (row >= before) & (row < before + n_ticks)
        exists = row < n_ticks + self._layout.context_ticks - 1
        return (tf.where(is_tick, in_ticks, in_margin) > 0) & exists

    def _averaged(
        self,
        predicted: signatures.Tensors,
        record: tf.Tensor,
        start: tf.Tensor,
        n_ticks: tf.Tensor,
    ) -> signatures.Tensors:
        """Puts the clips back to where they were cut from, [B, N]."""
        longest = tf.reduce_max(n_ticks)
        tick = start[:, None] + tf.range(self._clip_ticks)[None]  # [M, T]
        # Padding of records shorter than a clip falls into columns that are cut off.
        width = tf.maximum(longest, self._clip_ticks)
        place = tf.stack([tf.broadcast_to(record[:, None], tf.shape(tick)), tick], -1)
        shape = tf.stack([tf.size(n_ticks), width])
        count = tf.scatter_nd(place, tf.ones_like(predicted[self._outputs[0]]), shape)
        valid = tf.range(longest)[None] < n_ticks[:, None]
        outputs = {}
        for name in self._outputs:
            mean = tf.scatter_nd(place, predicted[name], shape) / tf.maximum(count, 1.0)
            outputs[name] = tf.where(valid, mean[:, :longest], 0.0)
        return outputs | {"valid": valid}
