"""No group in two splits, whatever the corpus lists or leaves out."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import splits

DEFAULT = config.RecordsConfig()
GROUPS = st.lists(st.text(min_size=1, max_size=5), min_size=3, max_size=30, unique=True)


def infos(groups, split=None):
    return [
        recording.RecordingInfo(f"r{i}", f"subject {group}", group, split)
        for i, group in enumerate(groups)
    ]


@given(GROUPS, st.randoms())
def test_each_group_is_in_one_split_and_no_split_is_empty(groups, random):
    members = groups * 2
    random.shuffle(members)
    names = splits.assign(infos(members), DEFAULT)
    homes = {}
    for group, name in zip(members, names, strict=True):
        assert homes.setdefault(group, name) == name
    assert set(homes.values()) == {"train", "dev", "validation"}


@given(GROUPS, st.randoms())
def test_the_order_of_the_corpus_does_not_matter(groups, random):
    shuffled = random.sample(groups, len(groups))
    found = dict(zip(groups, splits.assign(infos(groups), DEFAULT), strict=True))
    again = dict(zip(shuffled, splits.assign(infos(shuffled), DEFAULT), strict=True))
    assert found == again


def test_shares_are_about_those_asked_for():
    groups = [f"group {i}" for i in range(4000)]
    names = splits.assign(infos(groups), DEFAULT)
    # 4000 draws at 0.2 deviate by 25; dev is 0.15 of the other 3200.
    assert abs(names.count("validation") - 800) < 100
    assert abs(names.count("dev") - 480) < 80


def test_new_groups_leave_the_others_where_they_are():
    groups = [f"group {i}" for i in range(400)]
    few = splits.assign(infos(groups[:200]), DEFAULT)
    many = splits.assign(infos(groups), DEFAULT)
    assert many[:200] == few


def test_the_digest_is_the_same_on_every_machine():
    # By sha256sum: of "validation/s0" to "validation/s7" only that of s4, 0f5c..., is
    # below 0.2 (3333...); of "dev/s0" to "dev/s7" those of s2, 1a96..., and of s3,
    # 0c9a..., are below 0.15 (2666...).
    names = splits.assign(infos([f"s{i}" for i in range(8)]), DEFAULT)
    assert {f"s{i}": name for i, name in enumerate(names) if name != "train"} == {
        "s2": "dev",
        "s3": "dev",
        "s4": "validation",
    }


def test_the_corpus_decides_where_it_has_a_list():
    own = [
        *infos(["a", "b"], "validation"),
        *(
            dataclasses.replace(i, recording_id=f"x{i.split_group}")
            for i in infos("cd")
        ),
    ]
    records = dataclasses.replace(DEFAULT, validation_fraction=0.0, dev_fraction=0.0)
    assert splits.assign(own, records) == [
        "validation",
        "validation",
        "train",
        "train",
    ]


def test_a_dev_split_of_the_corpus_is_the_only_one():
    own = [*infos(["t1", "t2", "t3"], "train"), *infos(["d"], "dev")]
    own = [dataclasses.replace(info, recording_id=str(i)) for i, info in enumerate(own)]
    assert splits.assign(own, DEFAULT) == ["train", "train", "train", "dev"]


def test_a_corpus_to_evaluate_on_needs_no_train():
    assert splits.assign(infos(["a"], "test"), DEFAULT) == ["test"]


@pytest.mark.parametrize("groups", [["a"], ["a", "b", "c"]])
def test_all_of_a_corpus_can_be_to_evaluate_on(groups):
    only = dataclasses.replace(DEFAULT, validation_fraction=1.0)
    assert set(splits.assign(infos(groups), only)) == {"validation"}


def test_recordings_without_a_split_follow_their_group():
    own = [
        recording.RecordingInfo("1", "s", "g", "test"),
        recording.RecordingInfo("2", "s", "g", None),
    ]
    assert splits.assign(own, DEFAULT) == ["test", "test"]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([], "the corpus holds no recording"),
        (infos(["a"]), "only the group 'a' is there to be cut into train and valida"),
        (infos(["a", "b"]), "train and dev: .* at least 3 groups .*_fraction=1, "),
        (infos(["a"], "train"), "only the group 'a' .* train and dev"),
        ([recording.RecordingInfo("\udcff", "s", "g")], r"id '\\udcff' must be Unic"),
        ([recording.RecordingInfo("r", "\ud800", "g")], "subject_id .* be Unicode"),
        ([recording.RecordingInfo("r", "s", "\ud800")], "split_group .* be Unicode"),
        (infos(["a"], "trial"), "split 'trial' must be one of train, dev, valid"),
        (infos(["a"]) * 2, "two recordings have the same id 'r0'"),
        ([recording.RecordingInfo("", "s", "g")], "recording '': empty recording_id"),
        ([recording.RecordingInfo("r", "", "g")], "'r': empty subject_id"),
        ([recording.RecordingInfo("r", "s", "")], "'r': empty split_group"),
        (
            [
                recording.RecordingInfo("1", "s", "g", "train"),
                recording.RecordingInfo("2", "s", "g", "test"),
            ],
            r"the group 'g' is in two splits, train and test \(recording '2'\)",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(own, message):
    with pytest.raises(errors.DataError, match=message):
        splits.assign(own, DEFAULT)


def test_shared_subjects():
    own = [
        recording.RecordingInfo("1", "b", "g1"),
        recording.RecordingInfo("2", "b", "g2"),
        recording.RecordingInfo("3", "a", "g1"),
        recording.RecordingInfo("4", "c", "g3"),
        recording.RecordingInfo("5", "c", "g3"),
    ]
    names = ["train", "test", "train", "test", "test"]
    assert splits.shared_subjects(own, names) == ["b"]
