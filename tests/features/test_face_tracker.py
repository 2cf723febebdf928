"""One face is followed: by overlap, then by size; begun high, kept low."""

import numpy as np
import pytest

from avexp_tf.features import face_tracker

NONE = np.zeros((0, 5), np.float32)


def faces(*rows):
    """Faces as (middle x, side, score), at the same height."""
    return np.array(
        [
            [x - side / 2, 100, x + side / 2, 100 + side, score]
            for x, side, score in rows
        ],
        np.float32,
    )


def test_the_largest_is_chosen_first_and_then_stays():
    tracker = face_tracker.FaceTracker(0.7, 0.5)
    assert tracker.choose(faces((100, 40, 0.99), (300, 60, 0.8)), 640) == 1
    # The other one comes nearer: the face that was followed stays.
    assert tracker.choose(faces((110, 200, 0.99), (305, 60, 0.8)), 640) == 1
    assert tracker.choose(faces((312, 62, 0.8), (110, 200, 0.99)), 640) == 0


def test_a_cut_to_another_place_starts_again_with_the_largest():
    tracker = face_tracker.FaceTracker(0.7, 0.5)
    assert tracker.choose(faces((100, 40, 0.9)), 640) == 0
    assert tracker.choose(faces((400, 40, 0.9), (500, 50, 0.8)), 640) == 1


def test_a_face_begins_high_and_is_kept_low():
    tracker = face_tracker.FaceTracker(0.7, 0.5)
    scores = [0.69, 0.71, 0.51, 0.69, 0.49, 0.69, 0.71]
    found = [tracker.choose(faces((100, 40, score)), 640) for score in scores]
    assert found == [None, 0, 0, 0, None, None, 0]


def test_what_is_low_and_elsewhere_is_not_kept():
    tracker = face_tracker.FaceTracker(0.7, 0.5)
    assert tracker.choose(faces((100, 40, 0.9)), 640) == 0
    assert tracker.choose(faces((300, 40, 0.6)), 640) is None


def test_after_a_miss_the_place_is_remembered_for_a_second():
    for n_missed, expected in ((30, 0), (31, 1)):
        tracker = face_tracker.FaceTracker(0.7, 0.5)
        tracker.choose(faces((100, 40, 0.9)), 640)
        for _ in range(n_missed):
            assert tracker.choose(NONE, 640) is None
        both = faces((100, 40, 0.9), (300, 60, 0.9))
        assert tracker.choose(both, 640) == expected


@pytest.mark.parametrize(
    ("side", "rows", "expected"),
    [
        ("left", [(400, 90, 0.9), (100, 40, 0.9)], 1),
        ("right", [(400, 90, 0.9), (100, 40, 0.9)], 0),
        ("left", [(100, 40, 0.9)], 0),
        ("right", [(100, 40, 0.9)], None),
        ("left", [(400, 90, 0.9)], None),
        # Two boxes of the one person on the other side.
        ("left", [(400, 90, 0.9), (404, 92, 0.9)], None),
        # Both in one half: who is further out is still to the left of the other.
        ("left", [(400, 90, 0.9), (550, 90, 0.9)], 0),
    ],
)
def test_one_of_two_people(side, rows, expected):
    tracker = face_tracker.FaceTracker(0.7, 0.5, side)
    assert tracker.choose(faces(*rows), 640) == expected


def test_overlap_by_hand():
    box = np.array([0, 0, 10, 10])
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [5, 5, 15, 15], [10, 0, 20, 10]])
    np.testing.assert_allclose(
        face_tracker.overlap(box, boxes), [1, 50 / 150, 25 / 175, 0]
    )


def test_an_unknown_side_is_refused():
    with pytest.raises(ValueError, match="side='top'"):
        face_tracker.FaceTracker(0.7, 0.5, "top")
