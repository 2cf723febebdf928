"""Which split a recording is in: from the corpus's own lists, or a stable digest.

What is divided are groups (subjects, unless the corpus says otherwise); the same group
always lands in the same split, whatever other groups there are or their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from collections.abc import Sequence

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import contents


def assign(
    infos: Sequence[recording.RecordingInfo], records: config.RecordsConfig
) -> list[str]:
    """Returns the split of every recording.

    Groups without a split of their own go to `validation` by digest; then, unless the
    corpus names a `dev` of its own, groups of `train` go to `dev` by another digest. A
    share above 0 takes at least one group and leaves at least one.

    Args:
      infos: All recordings.
      records: The shares.

    Returns:
      One of `contents.SPLIT_NAMES` per recording, in the same order.

    Raises:
      errors.DataError: if there is no recording, a name is empty or no Unicode, an id
        is not unique, a split is unknown, a group is in two splits, or there are too
        few groups.
    """
    _check(infos)
    homes: dict[str, str] = {}
    for info in infos:
        if info.split is None:
            continue
        home = homes.setdefault(info.split_group, info.split)
        if home != info.split:
            raise errors.DataError(
                f"the group {info.split_group!r} is in two splits, {home} and "
                f"{info.split} (recording {info.recording_id!r})"
            )
    has_dev = "dev" in homes.values()
    free = {info.split_group for info in infos} - homes.keys()
    if free:
        # Where there are few groups, dev must find one to take and one to leave.
        n_left = 2 if records.dev_fraction and not has_dev and len(free) > 2 else 1
        chosen = _share(free, records.validation_fraction, "validation", n_left)
        homes |= {group: "validation" if group in chosen else "train" for group in free}
    train = {group for group, split in homes.items() if split == "train"}
    if train and not has_dev:
        homes |= dict.fromkeys(_share(train, records.dev_fraction, "dev", 1), "dev")
    return [homes[info.split_group] for info in infos]


def shared_subjects(
    infos: Iterable[recording.RecordingInfo], splits: Iterable[str]
) -> list[str]:
    """Returns the subjects that are seen in several splits, sorted.

    Args:
      infos: All recordings.
      splits: What `assign` gave.
    """
    homes: dict[str, set[str]] = {}
    for info, split in zip(infos, splits, strict=True):
        homes.setdefault(info.subject_id, set()).add(split)
    return sorted(subject for subject, where in homes.items() if len(where) > 1)


def _check(infos: Sequence[recording.RecordingInfo]) -> None:
    if not infos:
        raise errors.DataError("the corpus holds no recording")
    seen = set()
    for info in infos:
        for name in ("recording_id", "subject_id", "split_group"):
            text = getattr(info, name)
            if not text:
                raise errors.DataError(f"recording {info.recording_id!r}: empty {name}")
            if not _is_unicode(text):
                raise errors.DataError(
                    f"recording {info.recording_id!r}: {name} {text!r} must be Unicode"
                )
        if info.recording_id in seen:
            raise errors.DataError(
                f"two recordings have the same id {info.recording_id!r}"
            )
        seen.add(info.recording_id)
        if info.split is not None and info.split not in contents.SPLIT_NAMES:
            raise errors.DataError(
                f"recording {info.recording_id!r}: split {info.split!r} must be one of "
                f"{', '.join(contents.SPLIT_NAMES)}"
            )


def _is_unicode(text: str) -> bool:
    """Whether a text can be stored; the name of a file may be any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _share(groups: set[str], fraction: float, split: str, n_left: int) -> set[str]:
    """Returns the groups whose digest falls into the first `fraction` of all.

    It takes at least one, and leaves at least `n_left`, but for a fraction of 0 or 1.
    """
    if fraction == 0:
        return set()
    if fraction == 1:
        return groups
    if len(groups) < 2:
        raise errors.DataError(
            f"only the group {min(groups)!r} is there to be cut into train and "
            f"{split}: train, dev and validation need at least 3 groups (subjects), or "
            "a corpus that names its splits; with --validation_fraction=1, groups "
            "without a split are only evaluated on"
        )
    ranked = sorted((_digest(group, split), group) for group in groups)
    # A threshold, so that a new recording moves no other one; with few groups it may
    # take none or all of them.
    n_chosen = sum(digest < fraction for digest, _ in ranked)
    n_chosen = min(max(n_chosen, 1), len(ranked) - n_left)
    return {group for _, group in ranked[:n_chosen]}


def _digest(group: str, salt: str) -> float:
    """Returns a number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{salt}/{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
