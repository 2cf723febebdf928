"""What the page shows: one or two models, and an example to play."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.live import comparison
from avexp_tf.live import feature_stream
from avexp_tf.live import page_sources
from avexp_tf.live import recognizer
from avexp_tf.live import settings as live_settings
from avexp_tf.media import probe
from avexp_tf.serving import predictor as predictors


def example_of(models: Mapping[str, predictors.Predictor]) -> str | None:
    """Returns the records that one of the models was trained on, or None.

    Of models whose features come from media files, None: a face can be drawn for them.
    """
    for one in models.values():
        if "features" in one.manifest.corpus_config:
            return None
    for one in models.values():
        records = one.data.records
        if records and os.path.isdir(records):
            return records
    raise errors.DataError(
        "--example: must be given: these models take features that can't be made from "
        "pictures, and the records that they were trained on are not here"
    )


@dataclasses.dataclass(frozen=True)
class PageConfig:
    """What a page shows.

    Attributes:
      models: By what they are called, one or two.
      live: How calls are followed.
      example: A media file or a records folder; None draws a face that talks.
      visual_backbone: See `Recognizer.open`.
      visual_weights: Likewise.

    Raises:
      errors.DataError: if the models or the example can't be used.
    """

    models: Mapping[str, predictors.Predictor]
    live: live_settings.LiveConfig = live_settings.LiveConfig()
    example: str | os.PathLike[str] | None = None
    visual_backbone: str = ""
    visual_weights: str = ""

    def __post_init__(self) -> None:
        comparison.check_same_features(self.models)
        if self.example is None:
            return
        if not os.path.isdir(self.example):
            try:
                probe.probe(self.example)
            except errors.DataError as error:
                raise errors.DataError(f"--example={error}") from None
            return
        records = page_sources.Records(self.example).manifest
        wanted = next(iter(self.models.values())).manifest
        for modality in config.MODALITIES:
            mine, theirs = getattr(records, modality), getattr(wanted, modality)
            if mine != theirs:
                raise errors.DataError(
                    f"--example={self.example}: its {modality} features are {mine}, "
                    f"and the models take {theirs}"
                )

    def features(self, delay_secs: float = 0.0) -> feature_stream.FeatureStream:
        """Returns a stream of the features that the models take.

        Args:
          delay_secs: At least so long a tick waits for its packets.

        Raises:
          errors.AvexpError: if this program can't make them.
        """
        live = self.live
        if delay_secs > live.delay_secs:
            live = dataclasses.replace(live, delay_secs=delay_secs)
        first = next(iter(self.models.values()))
        return recognizer.open_features(
            first, live, self.visual_backbone, self.visual_weights
        )

    def why_no_media(self) -> str:
        """Returns why no camera and no file can be used; empty if they can."""
        try:
            self.features().close()
        except errors.AvexpError as error:
            return str(error)
        return ""


def open_page(
    model: str | os.PathLike[str],
    robust_model: str | os.PathLike[str] = "",
    live: live_settings.LiveConfig | None = None,
    example: str | os.PathLike[str] = "",
    visual_backbone: str = "",
    visual_weights: str = "",
) -> PageConfig:
    """Loads the models of a page.

    Args:
      model: The first; see `Recognizer.open`.
      robust_model: The second; empty for none.
      live: How calls are followed; None passes over pictures where it must be.
      example: See `PageConfig`; empty takes the models' records, or a drawn face.
      visual_backbone: See `Recognizer.open`.
      visual_weights: Likewise.

    Raises:
      errors.AvexpError: if a model can't be loaded, or they can't be compared.
    """
    paths = {"Baseline": model, "Robust": robust_model}
    models = {
        name: recognizer.load_predictor(path) for name, path in paths.items() if path
    }
    return PageConfig(
        models,
        live or live_settings.LiveConfig(visual_budget="adaptive"),
        example or example_of(models),
        visual_backbone,
        visual_weights,
    )
