"""`manifest.json`: what a folder of records holds, checked when it is loaded.

It is written last, so a folder with a manifest is complete. It holds no time stamp and
no path of the machine that wrote it: the same settings give the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf import remote
from avexp_tf import typed_json
from avexp_tf.data import contents
from avexp_tf.data import schema

FILE_NAME = "manifest.json"

_SEAL = "sha256"  # of the other values: a wrong statistic would train a wrong model


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a folder of records holds.

    Attributes:
      corpus_name: As in `--corpus`.
      corpus_config: The corpus's own settings, JSON.
      video: Video feature set.
      audio: Audio feature set.
      records: How the records were cut.
      has_background: Whether `background` is stored.
      audio_statistics: To normalise the LLDs with.
      splits: {`train`, `dev`, `validation` or `test`: contents.Split}; only those that
        hold something.
    """

    corpus_name: str
    corpus_config: dict[str, Any]
    video: recording.FeatureSet
    audio: recording.FeatureSet
    records: config.RecordsConfig
    has_background: bool
    audio_statistics: contents.AudioStatistics
    splits: Mapping[str, contents.Split]

    @property
    def layout(self) -> schema.Layout:
        """The sizes that all records share."""
        return schema.Layout(
            video_dim=self.video.dim,
            audio_dim=self.audio.dim,
            context_ticks=self.records.context_ticks,
            context_before=self.records.context_before,
            has_background=self.has_background,
        )

    def split(self, name: str) -> contents.Split:
        """Returns a split.

        Raises:
          errors.DataError: if there is none of this name.
        """
        if name not in self.splits:
            raise errors.DataError(
                f"{FILE_NAME}: no recording is in the split {name!r}; there is "
                f"{', '.join(self.splits)}"
            )
        return self.splits[name]

    def check_labels(self, name: str, records_dir: str | os.PathLike[str]) -> None:
        """Checks that a split has something to learn from, or to compare with.

        Raises:
          errors.DataError: if there is no such split, or no valid label in it.
        """
        if not any(self.split(name).label_ticks):
            raise errors.DataError(
                f"{records_dir}: the split {name} has no valid label"
            )

    def check_trainable(self, records_dir: str | os.PathLike[str]) -> None:
        """Checks that a model can be trained on train, and chosen on dev.

        Raises:
          errors.DataError: if one of them is not there or has no valid label, or dev
            has none of a target that train has.
        """
        for name in ("train", "dev"):
            self.check_labels(name, records_dir)
        pairs = zip(
            self.split("train").label_ticks, self.split("dev").label_ticks, strict=True
        )
        if not any(all(pair) for pair in pairs):
            raise errors.DataError(
                f"{records_dir}: dev has no valid label of a target that train has"
            )

    def shard_paths(self, records_dir: str | os.PathLike[str], name: str) -> list[str]:
        """Returns the paths of a split's shards.

        Args:
          records_dir: The folder that the manifest lies in.
          name: The split.

        Returns:
          One path per shard, in their order.

        Raises:
          errors.DataError: if there is no such split.
        """
        return [remote.join(records_dir, one.file) for one in self.split(name).shards]

    def settings(self) -> dict[str, Any]:
        """Returns what the records follow from, as `settings` of this module does."""
        return _settings(
            self.corpus_name, self.corpus_config, self.video, self.audio, self.records
        )

    def save(self, records_dir: str | os.PathLike[str]) -> None:
        """Writes `manifest.json` into a folder, in one step.

        Raises:
          errors.DataError: if it can't be written.
        """
        with files.replacing(pathlib.Path(records_dir) / FILE_NAME) as file:
            file.write(self.dumps())

    def dumps(self) -> bytes:
        """Returns what `manifest.json` holds."""
        values = self.settings() | {
            "background": self.has_background,
            "audio_statistics": self.audio_statistics.to_json(),
            "splits": {name: split.to_json() for name, split in self.splits.items()},
        }
        sealed = values | {_SEAL: typed_json.digest(values)}
        return typed_json.dumps(sealed).encode()

    @classmethod
    def load(cls, records_dir: str | os.PathLike[str]) -> Manifest:
        """Reads and checks the manifest of a folder.

        Args:
          records_dir: A folder that `avexp-prepare` wrote.

        Returns:
          The manifest.

        Raises:
          errors.DataError: if it is missing, is no manifest, has another schema
            version, or contradicts itself.
          errors.ConfigError: if its config breaks a rule.
        """
        path = remote.join(records_dir, FILE_NAME)
        try:
            if remote.is_remote(path):
                return cls.from_json(typed_json.loads(remote.read(path), path))
            return cls.from_json(typed_json.load(path))
        except FileNotFoundError:
            raise errors.DataError(
                f"{path}: no such file; avexp-prepare writes it when all records are "
                "complete"
            ) from None

    @classmethod
    def from_json(cls, values: typed_json.Reader) -> Manifest:
        """Checks what a manifest's file holds; raises as `load` does."""
        return _from_json(values)


def settings(corpus: recording.Corpus, records: config.RecordsConfig) -> dict[str, Any]:
    """Returns what records follow from, as JSON values.

    Args:
      corpus: Where the recordings come from.
      records: How they are cut.

    Returns:
      Schema version, corpus, features and config, as the manifest holds them.
    """
    found = _settings(corpus.name, corpus.config, corpus.video, corpus.audio, records)
    return json.loads(json.dumps(found))


def _settings(
    corpus_name: str,
    corpus_config: dict[str, Any],
    video: recording.FeatureSet,
    audio: recording.FeatureSet,
    records: config.RecordsConfig,
) -> dict[str, Any]:
    return {
        "schema_version": schema.VERSION,
        "corpus": {"name": corpus_name, "config": corpus_config},
        "features": {
            "video": dataclasses.asdict(video),
            "audio": dataclasses.asdict(audio),
        },
        "config": config.to_dict(records),
    }


def _from_json(top: typed_json.Reader) -> Manifest:
    source = top.source
    version = top.integer("schema_version")
    if version != schema.VERSION:
        raise errors.DataError(
            f"{source}: schema_version is {version}, this program reads "
            f"{schema.VERSION}; run avexp-prepare again"
        )
    unsealed = {key: value for key, value in top.values.items() if key != _SEAL}
    if top.text(_SEAL) != typed_json.digest(unsealed):
        raise errors.DataError(
            f"{source}: was changed after it was written: its {_SEAL} is another"
        )
    corpus, features = top.child("corpus"), top.child("features")
    audio = _feature_set(features.child("audio"))
    splits = top.child("splits")
    for name in splits.values:
        if name not in contents.SPLIT_NAMES:
            raise errors.DataError(
                f"{source}: the split {name!r} must be one of "
                f"{', '.join(contents.SPLIT_NAMES)}"
            )
    manifest = Manifest(
        corpus_name=corpus.text("name"),
        corpus_config=corpus.child("config").values,
        video=_feature_set(features.child("video")),
        audio=audio,
        records=config.from_dict(
            config.RecordsConfig, top.child("config").values, source
        ),
        has_background=top.boolean("background"),
        audio_statistics=contents.AudioStatistics.from_json(
            top.child("audio_statistics"), audio.dim
        ),
        splits={
            name: contents.Split.from_json(splits.child(name)) for name in splits.values
        },
    )
    _check_names(manifest, source)
    return manifest


def _feature_set(values: typed_json.Reader) -> recording.FeatureSet:
    return recording.FeatureSet(
        values.text("name"), values.text("version"), values.integer("dim", minimum=1)
    )


def _check_names(manifest: Manifest, source: str) -> None:
    """Raises DataError if a shard, a recording or a group is in two places."""
    if not manifest.splits:
        raise errors.DataError(f"{source}: splits is empty")
    homes: dict[str, str] = {}
    recordings: set[str] = set()
    shards: set[str] = set()
    for name, split in manifest.splits.items():
        for shard in split.shards:
            if contents.split_of_shard(shard.file) != name:
                raise errors.DataError(
                    f"{source}: {shard.file!r} is not the name of a shard of {name}"
                )
            if shard.file in shards:
                raise errors.DataError(f"{source}: {shard.file} is listed twice")
            shards.add(shard.file)
        for entry in split.recordings:
            if entry.recording_id in recordings:
                raise errors.DataError(
                    f"{source}: the recording {entry.recording_id!r} is listed twice"
                )
            recordings.add(entry.recording_id)
            home = homes.setdefault(entry.split_group, name)
            if home != name:
                raise errors.DataError(
                    f"{source}: the group {entry.split_group!r} is in two splits, "
                    f"{home} and {name}"
                )
