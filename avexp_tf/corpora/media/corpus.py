"""A corpus of media files: a 30 Hz clock, faces and voices, no labels."""

from __future__ import annotations

import glob
import logging
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf import typed_json
from avexp_tf.features import extract

CLOCK = "30hz"  # of `Extractor.read`
# What is looked for in a folder; a file that is named is tried whatever its name is.
SUFFIXES = frozenset(
    ".3gp .aac .aif .aiff .avi .flac .flv .m4a .m4v .mkv .mov .mp3 .mp4 .mpeg .mpg "
    ".mts .oga .ogg .ogv .opus .ts .wav .webm .wma .wmv".split()
)


class MediaCorpus:
    """Recordings without labels; a recording is known by its file's name.

    Args:
      media: Files, folders or patterns.
      extractor: Turns them into features.

    Attributes: see `recording.Corpus`.

    Raises:
      errors.DataError: if a file is not there, or two have the same name.
    """

    name = "media"

    def __init__(self, media: Sequence[str], extractor: extract.Extractor):
        self._extractor = extractor
        self.video = extractor.video
        self.audio = extractor.audio
        self._paths: dict[str, pathlib.Path] = {}
        for path in find(media):
            other = self._paths.setdefault(path.stem, path)
            if other != path:
                raise errors.DataError(
                    f"{path}: has the same name as {other}, and recordings are known "
                    "by their name"
                )
        self._contents = {
            name: files.fingerprint(path) for name, path in self._paths.items()
        }
        self.config: dict[str, Any] = {
            "features": extractor.settings_json(),
            "clock": CLOCK,
            "n_files": len(self._paths),
            "content_sha256": typed_json.digest(self._contents),
        }

    def recordings(self) -> Sequence[recording.RecordingInfo]:
        """Lists all recordings, by name."""
        return [
            recording.RecordingInfo(name, subject_id=name, split_group=name)
            for name in self._paths
        ]

    def content_key(self, recording_id: str) -> dict[str, Any]:
        """Returns the settings, and what one file is."""
        return {
            "features": self.config["features"],
            "content": self._contents[recording_id],
        }

    def read(self, recording_id: str) -> Iterator[recording.Block]:
        """Yields the ticks of one file.

        Raises:
          errors.DataError: if it can't be used.
        """
        path = self._paths[recording_id]
        for features in self._extractor.read(path, CLOCK, report=log):
            yield features.block


def find(media: Sequence[str], flag: str = "--media=") -> list[pathlib.Path]:
    """Returns the files that files, folders and patterns stand for.

    Args:
      media: Paths or patterns.
      flag: Said before one of them in an error.

    Returns:
      Each file once, however often and in whatever spellings it is given, sorted by
      name.

    Raises:
      errors.DataError: if one of them stands for nothing.
    """
    # A link of another name is another recording.
    found: dict[tuple[str, int, int], pathlib.Path] = {}
    for one in media:
        if os.path.isdir(one):
            paths = files.below(one, SUFFIXES)
        elif os.path.exists(one):
            paths = [pathlib.Path(one)]
        else:
            paths = [pathlib.Path(path) for path in glob.glob(one, recursive=True)]
            paths = [path for path in paths if path.is_file()]
        if not paths:
            raise errors.DataError(f"{flag}{one}: there is no media file")
        for path in paths:
            status = path.stat()
            found.setdefault((path.name, status.st_dev, status.st_ino), path)
    return sorted(found.values(), key=lambda path: (path.name, str(path)))


def log(line: str) -> None:
    """Says on stderr what was damaged in a recording that goes on all the same."""
    logging.getLogger("avexp_tf").warning("note: %s", line)
