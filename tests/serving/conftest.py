"""One small run and its export, made once."""

import pytest

from avexp_tf.serving import saved_model
from tests.serving import small_run


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """Records with gaps, a run on them and its export: a `small_run.Served`."""
    folder = tmp_path_factory.mktemp("served")
    small_run.make_records(folder / "records")
    small_run.make_run(folder / "run", folder / "records")
    export = saved_model.export(folder / "run", folder / "base")
    return small_run.Served(folder / "records", folder / "run", export)
