"""The mapping file: which columns of a table are what."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping as MappingType
from typing import Any

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording as recording_lib
from avexp_tf import typed_json

_KEYS = {
    "video",
    "audio",
    *config.TARGETS,
    "time",
    "rate_hz",
    "recording",
    "subject",
    "split_group",
    "splits",
    "invalid_label",
    "separator",
}


@dataclasses.dataclass(frozen=True)
class Mapping:
    """What the columns of a table are, and what its file's name tells.

    In the file, everything is optional but `video` or `audio`, and `time` or `rate_hz`.

    Attributes:
      source: The file, for messages.
      video: Columns (CSV) or arrays (NPZ) that are the video features, in their order;
        `*` in a name stands for anything. Empty: there is no video.
      audio: The same for audio.
      labels: {target: column}; a target without one has no valid label.
      time: Column with the time in seconds; empty if there is none.
      rate_hz: Rows per second, where there is no such column.
      recording: Regular expression that the file's name without its ending must match
        as a whole; its named groups may be used in the next two.
      subject: Who is seen, for example `{subject}`; empty takes the file's name.
      split_group: What may not be in two splits; empty takes the subject.
      splits: {split: its groups}; without a list for train, all other groups are in
        it. Empty leaves the choice to a digest.
      invalid_label: Label that says that there is none, such as -5.
      separator: Between the columns of a CSV file.
    """

    source: str
    video: tuple[str, ...]
    audio: tuple[str, ...]
    labels: MappingType[str, str]
    time: str
    rate_hz: float
    recording: str
    subject: str
    split_group: str
    splits: MappingType[str, tuple[str, ...]]
    invalid_label: float | None
    separator: str

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mapping:
        """Reads a mapping file.

        Raises:
          errors.DataError: if it is missing, is not JSON, or breaks a rule.
        """
        try:
            values = typed_json.load(path)
        except FileNotFoundError:
            raise errors.DataError(f"{path}: no such file") from None
        return cls._from_json(values)

    @classmethod
    def _from_json(cls, values: typed_json.Reader) -> Mapping:
        values.only(_KEYS)

        def text(key: str, default: str = "") -> str:
            return values.text(key) if key in values.values else default

        def columns(key: str) -> tuple[str, ...]:
            # A header's cells are stripped, too: some write a space after each comma.
            names = values.texts(key) if key in has else ()
            return tuple(name.strip() for name in names)

        has = values.values.keys()
        splits = values.child("splits") if "splits" in has else None
        if splits:
            splits.only(recording_lib.SPLITS)
        mapping = cls(
            source=values.source,
            video=columns("video"),
            audio=columns("audio"),
            labels={name: text(name).strip() for name in config.TARGETS if name in has},
            time=text("time").strip(),
            rate_hz=values.number("rate_hz") if "rate_hz" in has else 0.0,
            recording=text("recording", "(?P<subject>.*)"),
            subject=text("subject", "{subject}"),
            split_group=text("split_group"),
            splits={name: splits.texts(name) for name in splits.values}
            if splits
            else {},
            invalid_label=(
                values.number("invalid_label") if "invalid_label" in has else None
            ),
            separator=text("separator", ","),
        )
        mapping._check()
        return mapping

    def _check(self) -> None:
        if not self.video and not self.audio:
            raise self.error("video or audio must name a column")
        if bool(self.time) == (self.rate_hz != 0):
            raise self.error("give one of time and rate_hz")
        if self.rate_hz < 0:
            raise self.error(f"rate_hz is {self.rate_hz:g}, must be above 0")
        one = self.separator
        if len(one) != 1 or not one.isascii() or one in '"\r\n\0':
            raise self.error(
                f"separator is {one!r}, must be one ASCII character, and no quote or "
                "line end"
            )
        for name in (*self.video, *self.audio, *self.labels.values()):
            if not name:
                raise self.error("a column has no name")
        try:
            groups = re.compile(self.recording).groupindex
        except re.error as error:
            raise self.error(
                f"recording is no regular expression: {error}: {self.recording!r}"
            ) from None
        for template in (self.subject, self.split_group):
            names = _names_in(template)
            for name in names:
                if name not in groups:
                    raise self.error(
                        f"{{{name}}} in {template!r} is no named group of recording: "
                        f"write (?P<{name}>...) there"
                    )
            if set("{}") & set(_filled(template, dict.fromkeys(names, ""))):
                raise self.error(
                    f"{template!r} must hold names of groups in braces, such as "
                    "{subject}"
                )
        seen: dict[str, str] = {}
        for split, members in self.splits.items():
            for group in members:
                if seen.setdefault(group, split) != split:
                    raise self.error(
                        f"the group {group!r} is in two splits, {seen[group]} and "
                        f"{split}"
                    )

    def info(self, recording_id: str) -> recording_lib.RecordingInfo:
        """Returns what the name of a recording tells about it.

        Args:
          recording_id: The file's name without its ending.

        Raises:
          errors.DataError: if it does not match `recording`.
        """
        match = re.fullmatch(self.recording, recording_id)
        if not match:
            raise self.error(
                f"the file name {recording_id!r} does not match recording: "
                f"{self.recording!r}"
            )
        groups = {name: value or "" for name, value in match.groupdict().items()}
        subject = _filled(self.subject, groups)
        group = _filled(self.split_group, groups) if self.split_group else subject
        split = None
        if self.splits:
            homes = [name for name, members in self.splits.items() if group in members]
            if not homes and "train" in self.splits:
                raise self.error(
                    f"the group {group!r} of {recording_id!r} is in no split"
                )
            split = homes[0] if homes else "train"
        return recording_lib.RecordingInfo(recording_id, subject, group, split)

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the file's name."""
        values = dataclasses.asdict(self)
        del values["source"]
        return values

    def error(self, rule: str) -> errors.DataError:
        """Returns an error that names the mapping file."""
        return errors.DataError(f"{self.source}: {rule}")


def _names_in(template: str) -> list[str]:
    return re.findall(r"{(\w+)}", template)


def _filled(template: str, groups: dict[str, str]) -> str:
    # Not str.format, which would follow attributes of what it is given.
    return re.sub(r"{(\w+)}", lambda match: groups[match.group(1)], template)
