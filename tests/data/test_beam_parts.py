"""Apache Beam's workers write what one process writes."""

import sys

import array_corpus
import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import prepare
from tests.end_to_end import scripts

folders = scripts.load("folders")

pytest.importorskip("apache_beam")

RECORDS = config.RecordsConfig(
    context_ticks=6, segment_ticks=10, shard_mb=0.002, dev_fraction=0.3
)
LENGTHS = (33, 1, 10, 25, 8, 40, 12, 5)


def write(folder, corpus=None, **options):
    corpus = corpus or array_corpus.ArrayCorpus(LENGTHS)
    return prepare.prepare(corpus, folder, RECORDS, report=str, **options)


@pytest.fixture(scope="module", name="reference")
def _reference(tmp_path_factory):
    """What a local run writes."""
    folder = tmp_path_factory.mktemp("reference")
    write(folder)
    return folders.tree(folder)


@pytest.mark.parametrize(
    "beam_flags",
    ["", "--direct_num_workers=2 --direct_running_mode=multi_threading"],
)
def test_the_same_bytes(reference, tmp_path, capsys, beam_flags):
    write(tmp_path, runner="DirectRunner", beam_flags=beam_flags)
    assert folders.tree(tmp_path) == reference
    assert "records: 100%" in capsys.readouterr().err.replace("\r", "\n")


def test_what_fails_is_told_and_the_rest_is_not_done_again(reference, tmp_path):
    broken = array_corpus.ArrayCorpus(LENGTHS, fails_at="r3")
    with pytest.raises(errors.DataError, match="^r3: is broken$"):
        write(tmp_path, broken, runner="DirectRunner")
    assert not (tmp_path / "manifest.json").exists()

    # Now only r3 can be read, and it suffices: locally, and by Beam.
    class OnlyR3(array_corpus.ArrayCorpus):
        def read(self, recording_id):
            assert recording_id == "r3"
            return super().read(recording_id)

    write(tmp_path, OnlyR3(LENGTHS))
    assert folders.tree(tmp_path) == reference


def test_beam_goes_on_where_a_local_run_stopped(reference, tmp_path):
    with pytest.raises(errors.DataError, match="r5: is broken"):
        write(tmp_path, array_corpus.ArrayCorpus(LENGTHS, fails_at="r5"))
    write(tmp_path, runner="DirectRunner")
    assert folders.tree(tmp_path) == reference
    write(tmp_path, runner="DirectRunner")  # nothing is left to do
    assert folders.tree(tmp_path) == reference


def test_an_unknown_runner_is_told(tmp_path):
    with pytest.raises(errors.ConfigError, match="--runner=NoRunner: .*NoRunner"):
        write(tmp_path, runner="NoRunner")
    assert not (tmp_path / "manifest.json").exists()


def test_without_beam_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "avexp_tf.data.beam_parts", raising=False)
    monkeypatch.delattr("avexp_tf.data.beam_parts", raising=False)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(errors.MissingExtraError, match=r"avexp-tf\[beam\]"):
        write(tmp_path, runner="DirectRunner")
    assert not list(tmp_path.iterdir())
