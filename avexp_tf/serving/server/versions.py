"""The versions of a model on disk, of which the newest are kept loaded.

A new version takes over when it is loaded and warm; requests that are running go on
with the version that they began with, which leaves memory after the last of them.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import threading
from collections.abc import Callable

from avexp_tf.serving import version_folders
from avexp_tf.serving.server import failure
from avexp_tf.serving.server import loaded_version
from avexp_tf.serving.server import settings

LOADING, AVAILABLE, END = "LOADING", "AVAILABLE", "END"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class State:
    """What is known of a version.

    Attributes:
      state: LOADING, AVAILABLE or END.
      error: Why it could not be loaded; empty if it could.
    """

    state: str
    error: str = ""


class Versions:
    """Loads versions as they come, in a thread of its own.

    Args:
      config: Folder, names and how many to keep.
      load: Makes a `LoadedVersion` of a folder.
      on_change: Called after every change.
    """

    def __init__(
        self,
        config: settings.ServerConfig,
        load: Callable[
            [pathlib.Path], loaded_version.LoadedVersion
        ] = loaded_version.LoadedVersion,
        on_change: Callable[[Versions], None] = lambda versions: None,
    ):
        self._config = config
        self._load = load
        self._on_change = on_change
        self._lock = threading.Lock()
        self._loaded: dict[int, loaded_version.LoadedVersion] = {}
        self._states: dict[int, State] = {}
        self._failed: dict[int, float] = {}
        self._folders: dict[int, pathlib.Path] = {}
        self._ignored: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Loads what is there, then watches for more."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch; what is loaded stays."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def available(self) -> list[int]:
        """Numbers of the versions that can be asked."""
        with self._lock:
            return sorted(self._loaded)

    def states(self) -> dict[int, State]:
        """Returns what is known of every version, the newest first."""
        with self._lock:
            return dict(sorted(self._states.items(), reverse=True))

    def get(
        self, name: str, number: int | None = None, label: str = ""
    ) -> loaded_version.LoadedVersion:
        """Returns the version that a request asks for.

        Args:
          name: Of the model.
          number: Of the version; None takes the newest.
          label: Instead of a number.

        Raises:
          failure.Failure: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        if name != self._config.model_name:
            shown = name[:80]
            asked = f"Latest({shown})" if number is None else f"Specific({shown}, .)"
            raise failure.Failure(
                failure.NOT_FOUND, f"Servable not found for request: {asked}"
            )
        if label:
            if number is not None:
                raise failure.invalid("give a version or a version label, not both")
            labels = self._config.label_versions
            if label not in labels:
                raise failure.invalid(
                    f"Unrecognized servable version label: {label[:80]}"
                )
            number = labels[label]
        with self._lock:
            if number is None and self._loaded:
                number = max(self._loaded)
            if number in self._loaded:
                return self._loaded[number]
        asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise failure.Failure(
            failure.NOT_FOUND, f"Servable not found for request: {asked}"
        )

    def look(self) -> None:
        """Looks at the folder once: loads new versions, then drops old ones."""
        tried: set[int] = set()
        while True:
            wanted = self._wanted()
            new = set(wanted) - set(self._loaded) - tried
            if not new:
                break
            # Of what failed an older one takes the place, in the next round.
            for number in sorted(new):
                self._try(number)
            tried |= new
        # What is asked for by a label stays, whatever is newest.
        ready = sorted(set(self._loaded) & set(wanted), reverse=True)
        kept = set(ready[: self._config.keep_versions])
        kept |= set(self._config.label_versions.values()) & set(ready)
        self._forget_failed()
        if not kept:
            return
        dropped = set(self._loaded) - kept
        with self._lock:
            for number in dropped:
                del self._loaded[number]
                self._states[number] = State(END)
        if dropped:
            self._on_change(self)

    def _forget_failed(self) -> None:
        """Says no more of versions that failed and were taken away."""
        gone = set(self._failed) - set(self._folders)
        if not gone:
            return
        with self._lock:
            for number in gone:
                del self._failed[number]
                self._states.pop(number, None)
        self._on_change(self)

    def _wanted(self) -> list[int]:
        """The versions to have, the oldest first; those that failed don't count."""
        base = pathlib.Path(self._config.export)
        try:
            self._folders = version_folders.found(base)
            self._warn_of_ignored(base)
        except OSError as error:
            _log.warning("%s: %s", base, error.strerror or error)
            return sorted(self._loaded)
        newest = sorted(self._folders, reverse=True)
        usable = [
            number
            for number in newest
            if number in self._loaded or self._failed.get(number) != self._stamp(number)
        ]
        labelled = set(self._config.label_versions.values()) & set(usable)
        return sorted({*usable[: self._config.keep_versions], *labelled})

    def _warn_of_ignored(self, base: pathlib.Path) -> None:
        for name in {path.name for path in base.iterdir()} - self._ignored:
            if name.isdecimal() and version_folders.number_of(name) is None:
                _log.warning("%s: ignored: no version has this number", base / name)
                self._ignored.add(name)

    def _try(self, number: int) -> None:
        stamp = self._stamp(number)
        self._set(number, State(LOADING))
        try:
            loaded = self._load(self._folders[number])
        except Exception as error:  # a damaged model may raise anything
            reason = " ".join(str(error).split())[:500] or type(error).__name__
            _log.error("version %d can't be served: %s", number, reason)
            # Until something of it changes: it may still be on its way here.
            self._failed[number] = stamp
            self._set(number, State(END, reason))
            return
        with self._lock:
            self._loaded[number] = loaded
        self._set(number, State(AVAILABLE))
        _log.info("version %d is served", number)

    def _set(self, number: int, state: State) -> None:
        with self._lock:
            self._states[number] = state
        self._on_change(self)

    def _stamp(self, number: int) -> float:
        """When a version was last changed."""
        folder = self._folders[number]
        try:
            return max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])
        except OSError:
            return 0.0

    def _watch(self) -> None:
        while not self._ended.wait(self._config.poll_secs):
            try:
                self.look()
            except Exception:  # the server must outlive whatever lies in that folder
                _log.exception("the folder of versions can't be read")
