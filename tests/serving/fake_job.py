"""A job that another process can be sent; what it does follows from the file's name."""

import dataclasses
import os
import pathlib
import signal
import time

from avexp_tf import errors
from avexp_tf.serving import client_errors


@dataclasses.dataclass(frozen=True)
class FakeSettings:
    """Stands in for `media_job.Settings`."""

    folder: str
    refuses: str = ""
    dies: bool = False

    def start(self):
        pass

    def job(self):
        if self.refuses:
            raise errors.DataError(self.refuses)
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return self

    def predict_file(self, path):
        if "crash" in path.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "exit" in path.name:
            os._exit(7)
        if "bad" in path.name:
            raise errors.DataError(f"{path}:\nis bad")
        if "gone" in path.name:
            raise client_errors.NotFoundError("the server has another model")
        half = pathlib.Path(self.folder) / "half-written"
        if "long" in path.name:
            half.touch()
            try:
                time.sleep(60)
            finally:
                half.unlink()
        (pathlib.Path(self.folder) / path.name).touch()
        return f"{path.name}: done"
