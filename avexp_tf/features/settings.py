"""How pictures become features: the settings behind `--face_...` and `--visual_...`."""

from __future__ import annotations

import dataclasses

from avexp_tf import config
from avexp_tf import errors


@dataclasses.dataclass(frozen=True)
class FeatureConfig(config.Checked):
    """How faces are found and what describes them.

    Attributes: each has its help text; see `avexp-prepare --help`.
    """

    face_detector: str = config.option(
        "ssd",
        "Face detector: OpenCV's SSD/ResNet-10 in its TensorFlow form (the paper's "
        "kind), the same in its Caffe form (OpenCV 4 only), or YuNet.",
        choices=("ssd", "ssd_caffe", "yunet"),
    )
    face_threshold: float = config.option(
        0.7,
        "Score from which on a detection is a face.",
        minimum=0.0,
        maximum=1.0,
    )
    face_keep: float = config.option(
        0.5,
        "Score from which on it still is the face that was in the same place at the "
        "last look, so that a head that turns does not flicker.",
        minimum=0.0,
        maximum=1.0,
    )
    face_every: int = config.option(
        1,
        "Look for the face in every n-th picture; in between, the box and the answer "
        "of the last look stand.",
        minimum=1,
        maximum=1000,
    )
    face_margin: float = config.option(
        0.0,
        "What the crop takes in around the box, as a share of the box's longer side.",
        minimum=0.0,
        maximum=5.0,
    )
    visual_backbone: str = config.option(
        "vggface",
        "What describes a face: vggface (VGG16 of Parkhi 2015, fc6 after ReLU, 4096), "
        "or onnx:PATH for any network that OpenCV reads.",
    )
    visual_weights: str = config.option(
        "",
        "vggface: the published rcmalli_vggface_tf_vgg16.h5; empty takes the one that "
        "avexp-weights keeps.",
    )
    visual_batch: int = config.option(
        32, "Pictures that the backbone takes at once.", minimum=1, maximum=4096
    )
    visual_precision: str = config.option(
        "float32",
        "vggface: arithmetic. bfloat16 is faster where the processor knows it.",
        choices=("float32", "bfloat16"),
    )
    onnx_size: int = config.option(
        112,
        "onnx: height and width of its input, in pixels.",
        minimum=8,
        maximum=1024,
    )
    onnx_mean: tuple[str, ...] = config.option(
        ("0",),
        "onnx: what is subtracted from pixels of 0..255: one number, or three in the "
        "order of --onnx_channels.",
    )
    onnx_scale: float = config.option(
        1.0, "onnx: what pixels are multiplied by, after --onnx_mean."
    )
    onnx_layout: str = config.option(
        "nchw", "onnx: order of the input's axes.", choices=("nchw", "nhwc")
    )
    onnx_channels: str = config.option(
        "rgb", "onnx: order of the input's channels.", choices=("rgb", "bgr")
    )
    background: bool = config.option(
        False,
        "Also store features of the whole picture with its face blanked, to fall back "
        "on where the face is lost.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.face_keep > self.face_threshold:
            raise errors.ConfigError(
                f"--face_keep={self.face_keep}: must be at most "
                f"--face_threshold={self.face_threshold}"
            )
        if self.visual_backbone != "vggface" and not self.onnx_path:
            raise errors.ConfigError(
                f"--visual_backbone={self.visual_backbone}: must be vggface or "
                "onnx:PATH"
            )
        self.onnx_means()

    @property
    def onnx_path(self) -> str:
        """The network of `--visual_backbone=onnx:PATH`; empty for other backbones."""
        kind, _, path = self.visual_backbone.partition(":")
        return path if kind == "onnx" else ""

    def onnx_means(self) -> tuple[float, float, float]:
        """Returns `onnx_mean` as three numbers.

        Raises:
          errors.ConfigError: if it is not one number or three.
        """
        shown = ",".join(self.onnx_mean)
        try:
            values = [float(value) for value in self.onnx_mean]
        except ValueError:
            values = []
        if len(values) not in (1, 3):
            raise errors.ConfigError(
                f"--onnx_mean={shown}: must be one number, or three with commas"
            )
        first, second, third = values * 3 if len(values) == 1 else values
        return first, second, third
