"""Records, runs and exports on s3://, on a server that speaks S3."""

import os
import subprocess
import sys
import time
import urllib.request

import numpy as np
import ports
import pytest
import small_runs

import avexp_tf
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import remote
from avexp_tf.corpora import synthetic
from avexp_tf.data import prepare
from avexp_tf.training import experiment as experiments
from avexp_tf.training import history


def has_native_operations():
    try:
        import tensorflow_io
    except ImportError:
        return False
    import tensorflow as tf

    return tf.__version__.startswith("2.17.") and bool(tensorflow_io)


needs_io = pytest.mark.skipif(
    not has_native_operations(), reason="needs pip install 'avexp-tf[io]'"
)


@pytest.mark.skipif(has_native_operations(), reason="tensorflow-io is here")
@pytest.mark.parametrize("use", ["records", "run", "export"])
def test_without_tensorflow_io_it_says_what_to_install(use, tmp_path):
    path = f"s3://bucket/{use}"
    with pytest.raises(errors.ConfigError) as caught:
        if use == "records":
            avexp_tf.prepare("synthetic", path)
        elif use == "run":
            avexp_tf.evaluate(path)
        else:
            avexp_tf.predict(path, tmp_path)
    assert str(caught.value).startswith(f"{path}: needs tensorflow-io")
    assert "pip install 'avexp-tf[io]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_places_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ConfigError, match="az://a/b: must be a path of this"):
        avexp_tf.evaluate("az://a/b")
    with pytest.raises(errors.DataError, match="s3://a/b: must be a folder of this"):
        from avexp_tf import files

        files.make_folder("s3://a/b")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module", name="bucket")
def _bucket():
    """The address of an empty bucket on a server on loopback."""
    port = ports.free_port()
    where = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "S3_ENDPOINT": where,
        }.items():
            patched.setenv(name, value)
        words = [sys.executable, "-m", "moto.server", "-p", str(port)]
        server = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            for _ in range(300):
                try:
                    request = urllib.request.Request(f"{where}/bucket", method="PUT")
                    urllib.request.urlopen(request).close()
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                pytest.fail("the server does not answer")
            yield "s3://bucket"
        finally:
            server.kill()
            server.wait()


def forget_copies():
    """What a new process would not know."""
    remote._copies.clear()


@pytest.fixture(scope="module", name="trained")
def _trained(bucket, tmp_path_factory):
    """The same records and run on the server and on this machine."""
    folder = tmp_path_factory.mktemp("local")
    corpus = synthetic.SyntheticCorpus(small_runs.CORPUS)
    for place in (bucket, folder):
        records = f"{place}/records"
        prepare.prepare(corpus, records, small_runs.RECORDS, report=str)
        settings = small_runs.experiment(records)
        experiments.train(settings, f"{place}/run", report=str)
    forget_copies()
    return bucket, folder


@needs_io
def test_records_are_the_same_bytes(trained):
    import tensorflow as tf

    bucket, folder = trained
    local = {path.name: path.read_bytes() for path in (folder / "records").iterdir()}
    assert set(remote.children(f"{bucket}/records")) == set(local)
    for name, content in local.items():
        assert tf.io.gfile.GFile(f"{bucket}/records/{name}", "rb").read() == content
    said = []
    corpus = synthetic.SyntheticCorpus(small_runs.CORPUS)
    address = f"{bucket}/records"
    prepare.prepare(corpus, address, small_runs.RECORDS, report=said.append)
    assert "complete already" in said[0]
    other = config.RecordsConfig(context_ticks=7, segment_ticks=60)
    with pytest.raises(errors.ConfigError, match="holds records of other settings"):
        prepare.prepare(corpus, address, other, report=str)


@needs_io
def test_a_run_is_evaluated_as_the_same_run_here(trained):
    bucket, folder = trained
    conditions = ["none", "video:frame_zero:0.5"]
    there = avexp_tf.evaluate(f"{bucket}/run", conditions, split="validation")
    here = avexp_tf.evaluate(folder / "run", conditions, split="validation")
    np.testing.assert_allclose(there["ccc"], here["ccc"], atol=1e-5)


@needs_io
def test_a_stopped_run_goes_on(bucket, trained, monkeypatch):
    settings = small_runs.experiment(f"{bucket}/records", seed=3)

    def stop(self, progress):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(history.History, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            experiments.train(settings, f"{bucket}/stopped", report=str)
    assert "result.json" not in remote.children(f"{bucket}/stopped")
    forget_copies()
    said = []
    experiments.train(settings, f"{bucket}/stopped", report=said.append)
    assert any("goes on after step" in line for line in said)
    assert "result.json" in remote.children(f"{bucket}/stopped")
    # Checkpoints that are not kept here are not kept there.
    kept = remote.Copy.of(f"{bucket}/stopped").path / "checkpoints"
    forget_copies()
    there = remote.children(f"{bucket}/stopped/checkpoints")
    assert set(there) == {path.name for path in kept.iterdir()}


@needs_io
def test_exports_are_numbered_and_predict(trained):
    bucket, _ = trained
    for number in ("1", "2"):
        forget_copies()
        made = avexp_tf.export(f"{bucket}/run", f"{bucket}/export", litert=())
        assert made.name == number
        assert number in remote.children(f"{bucket}/export")
    forget_copies()
    corpus = synthetic.SyntheticCorpus(small_runs.CORPUS)
    block = next(iter(corpus.read(corpus.recordings()[0].recording_id)))
    there = avexp_tf.predict(f"{bucket}/export", block)
    run = avexp_tf.predict(f"{bucket}/run", block)
    np.testing.assert_allclose(there["valence"], run["valence"], atol=1e-5)


@needs_io
def test_a_command_ends_well_and_a_missing_bucket_in_one_line(trained):
    bucket, _ = trained

    def train(records):
        words = ["-m", "avexp_tf.train", f"--records={records}", "--d_model=8"]
        words += ["--num_heads=2", "--ff_dim=8", "--epochs=1", "--clip_ticks=20"]
        return subprocess.run(
            [sys.executable, *words, f"--run_dir={bucket}/command"],
            capture_output=True,
            text=True,
            env=os.environ,
        )

    done = train(f"{bucket}/records")
    assert done.returncode == 0, done.stderr
    assert "result.json" in remote.children(f"{bucket}/command")
    done = train("s3://nobody/records")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: s3://nobody/records")
