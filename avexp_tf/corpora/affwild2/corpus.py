"""Aff-Wild2: one tick per frame, at the frame's own time stamp."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np

from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf import typed_json
from avexp_tf.corpora.affwild2 import labels as labels_lib
from avexp_tf.corpora.media import corpus as media_corpus
from avexp_tf.features import crop_folder
from avexp_tf.features import extract

_CLOCK = "frames"  # of `Extractor.read`
_SIDES = ("left", "right")


@dataclasses.dataclass(frozen=True)
class _Recording:
    info: recording.RecordingInfo
    video: pathlib.Path
    side: str
    labels: pathlib.Path | None


class AffWild2Corpus:
    """The recordings of Aff-Wild2's valence-arousal set.

    `10-60-1280x720_right` is the person on the right of the video
    `10-60-1280x720`; with cropped frames the folder of that name tells who it is.

    Label line i belongs to frame i. Where a file has more or fewer lines than its video
    has frames, that is said; lines without a frame are left out, and frames without a
    line have no valid label.

    Args:
      videos: Folder with the videos, at any depth.
      annotations: See `labels.find`.
      extractor: Turns videos into features.
      crops: Folder with one folder of cropped frames per recording; empty looks for
        faces in the videos.
      test_names: File with names of recordings without labels, one per line.

    Attributes: see `recording.Corpus`.

    Raises:
      errors.DataError: if the folders are not there, or a recording has no video or no
        folder of crops.
    """

    name = "affwild2"

    def __init__(
        self,
        videos: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        extractor: extract.Extractor,
        crops: str | os.PathLike[str] = "",
        test_names: str | os.PathLike[str] = "",
    ):
        self._extractor = extractor
        self.video = extractor.video
        self.audio = extractor.audio
        self._crops = pathlib.Path(crops) if crops else None
        listed: dict[str, tuple[str, pathlib.Path | None]] = dict(
            labels_lib.find(annotations)
        )
        for name in _names(test_names):
            if name in listed:
                raise errors.DataError(
                    f"{test_names}: {name} is in {listed[name][1]} too"
                )
            listed[name] = ("test", None)
        self._recordings = _matched(listed, _videos(videos))
        if self._crops:
            self._check_crops(self._crops)
        self._contents = {name: self._content(name) for name in self._recordings}
        self.config: dict[str, Any] = {
            "features": extractor.settings_json(),
            "clock": _CLOCK,
            "crops": bool(self._crops),
            "n_recordings": len(self._recordings),
            "content_sha256": typed_json.digest(self._contents),
        }

    def recordings(self) -> Sequence[recording.RecordingInfo]:
        """Lists all recordings, by name."""
        return [one.info for one in self._recordings.values()]

    def content_key(self, recording_id: str) -> dict[str, Any]:
        """Returns the settings, and what one recording's files are."""
        return {
            "features": self.config["features"],
            "crops": self.config["crops"],
            "content": self._contents[recording_id],
        }

    def read(self, recording_id: str) -> Iterator[recording.Block]:
        """Yields one tick per frame of a recording.

        Raises:
          errors.DataError: if its video, its labels or a crop can't be used.
        """
        one = self._recordings[recording_id]
        labels = np.zeros((0, 2), np.float32)
        valid = np.zeros((0, 2), bool)
        if one.labels:
            labels, valid = labels_lib.read(one.labels)
        faces = None
        if self._crops:
            faces = crop_folder.CropFolder(self._crops / recording_id)
            if not faces.last:
                media_corpus.log(f"{self._crops / recording_id}: holds no crop")
        n_ticks = 0
        for features in self._extractor.read(
            one.video,
            clock=_CLOCK,
            faces=faces,
            side=one.side,
            report=media_corpus.log,
        ):
            span = slice(n_ticks, n_ticks + len(features.block))
            yield _labelled(features.block, labels[span], valid[span])
            n_ticks += len(features.block)
        if one.labels and n_ticks != len(labels):
            media_corpus.log(
                f"{one.labels}: has {len(labels)} lines of labels, {one.video} has "
                f"{n_ticks} frames"
            )
        if faces and faces.last > n_ticks:
            media_corpus.log(
                f"{recording_id}: its last crop is number {faces.last}, {one.video} "
                f"has {n_ticks} frames"
            )

    def _check_crops(self, crops: pathlib.Path) -> None:
        if not crops.is_dir():
            raise errors.DataError(f"--crops={crops}: no such folder")
        missing = [name for name in self._recordings if not (crops / name).is_dir()]
        if missing:
            raise errors.DataError(
                f"--crops={crops}: has no folder for {_some(missing)}"
            )

    def _content(self, name: str) -> list[Any]:
        one = self._recordings[name]
        found: list[Any] = [one.video.name, files.fingerprint(one.video), one.side]
        found.append(files.sha256(one.labels) if one.labels else None)
        if self._crops:
            # Their names alone: to look at millions of pictures would take minutes.
            found.append(crop_folder.CropFolder(self._crops / name).names_sha256())
        return found


def _labelled(
    block: recording.Block, labels: np.ndarray, valid: np.ndarray
) -> recording.Block:
    """Returns a block with the labels that there are; the rest is not valid."""
    all_labels = np.zeros_like(block.labels)
    all_valid = np.zeros_like(block.label_valid)
    all_labels[: len(labels)] = labels
    all_valid[: len(valid)] = valid
    return dataclasses.replace(block, labels=all_labels, label_valid=all_valid)


def _names(path: str | os.PathLike[str]) -> list[str]:
    if not path:
        return []
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text file"
        raise errors.DataError(f"{path}: can't be read: {reason}") from None
    return sorted({line.strip() for line in lines if line.strip()})


def _videos(folder: str | os.PathLike[str]) -> dict[str, list[pathlib.Path]]:
    """Returns the videos of each name; one file that lies there twice is one."""
    if not pathlib.Path(folder).is_dir():
        raise errors.DataError(f"--videos={folder}: no such folder")
    found: dict[str, list[pathlib.Path]] = {}
    for path in files.below(folder, media_corpus.SUFFIXES):
        named = found.setdefault(path.stem, [])
        if not any(path.samefile(other) for other in named):
            named.append(path)
    if not found:
        raise errors.DataError(f"--videos={folder}: there is no video")
    return found


def _matched(
    listed: dict[str, tuple[str, pathlib.Path | None]],
    videos: dict[str, list[pathlib.Path]],
) -> dict[str, _Recording]:
    """Finds the video of each recording, and who in it is meant."""
    stems, sides, missing = {}, {}, []
    for name in listed:
        stem, _, side = name.rpartition("_")
        if name in videos:
            stems[name], sides[name] = name, ""
        elif side in _SIDES and stem in videos:
            stems[name], sides[name] = stem, side
        else:
            missing.append(name)
    if missing:
        raise errors.DataError(f"--videos: there is no video for {_some(missing)}")
    for stem in set(stems.values()):
        if len(videos[stem]) > 1:
            one, other = videos[stem][:2]
            raise errors.DataError(f"{other}: has the same name as {one}")
    found = {}
    for name in sorted(listed):
        split, path = listed[name]
        # Two people of one video stay together, unless the official lists part them.
        mates = {listed[other][0] for other in listed if stems[other] == stems[name]}
        info = recording.RecordingInfo(
            recording_id=name,
            subject_id=name,
            split_group=stems[name] if len(mates) == 1 else name,
            split=split,
        )
        side = sides[name] or _other_side(name, listed)
        found[name] = _Recording(info, videos[stems[name]][0], side, path)
    return found


def _other_side(name: str, listed: Container[str]) -> str:
    """Returns where the person of a video's own name is, if one beside is named.

    As `video2` is with `video2_left`: who is on the left has the other name.
    """
    taken = [side for side in _SIDES if f"{name}_{side}" in listed]
    if len(taken) != 1:
        return ""
    return next(side for side in _SIDES if side not in taken)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
