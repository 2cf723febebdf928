"""Random damage to record files: all of it is found, all of the rest is read."""

import random

import pytest
import scripts

damage = scripts.load("damage")


@pytest.mark.parametrize("seed", [1, 2])
def test_all_damage_is_found_and_all_the_rest_is_read(tmp_path, seed):
    manifest = damage.write(tmp_path, 70)
    rng = random.Random(seed)
    tallies, innocent = damage.measure(tmp_path, manifest, 60, rng)
    assert innocent == []
    assert {kind: tally for kind, tally in tallies.items() if not tally.is_good} == {}
    assert sum(tally.files for tally in tallies.values()) == 60
    assert sum(tally.damaged for tally in tallies.values()) > 60
    assert sum(tally.whole for tally in tallies.values()) > 60
