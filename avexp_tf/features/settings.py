"""How pictures become features: the settings behind `--face_...` and `--visual_...`."""

from __future__ import annotations

import dataclasses
import math

from avexp_tf import errors
from avexp_tf import options


@dataclasses.dataclass(frozen=True)
class FeatureConfig(options.Checked):
    """How faces are found and what describes them.

    Attributes: each has its help text; see `avexp-prepare --help`.
    """

    face_detector: str = options.option(
        "ssd",
        "Face detector: OpenCV's SSD/ResNet-10 in its TensorFlow form (the paper's "
        "kind), the same in its Caffe form (OpenCV 4 only), or YuNet.",
        choices=("ssd", "ssd_caffe", "yunet"),
    )
    face_threshold: float = options.option(
        0.7,
        "Score from which on a detection is a face.",
        minimum=0.0,
        maximum=1.0,
    )
    face_keep: float = options.option(
        0.5,
        "Score from which on it still is the face that was in the same place at the "
        "last look, so that a head that turns does not flicker.",
        minimum=0.0,
        maximum=1.0,
    )
    face_every: int = options.option(
        1,
        "Look for the face in every n-th picture; in between, the box and the answer "
        "of the last look stand.",
        minimum=1,
        maximum=1000,
    )
    face_margin: float = options.option(
        0.0,
        "What the crop takes in around the box, as a share of the box's longer side.",
        minimum=0.0,
        maximum=5.0,
    )
    visual_backbone: str = options.option(
        "vggface",
        "What describes a face: vggface (VGG16 of Parkhi 2015, fc6 after ReLU, 4096), "
        "or onnx:PATH for any network that OpenCV reads.",
    )
    visual_weights: str = options.option(
        "",
        "vggface: the published rcmalli_vggface_tf_vgg16.h5; empty takes the one that "
        "avexp-weights keeps.",
    )
    visual_batch: int = options.option(
        32, "Pictures that the backbone takes at once.", minimum=1, maximum=4096
    )
    visual_precision: str = options.option(
        "float32",
        "vggface: arithmetic. bfloat16 is faster where the processor knows it.",
        choices=("float32", "bfloat16"),
    )
    onnx_size: int = options.option(
        112,
        "onnx: height and width of its input, in pixels.",
        minimum=8,
        maximum=1024,
    )
    onnx_mean: tuple[str, ...] = options.option(
        ("0",),
        "onnx: what is subtracted from pixels of 0..255: one number, or three in the "
        "order of --onnx_channels.",
    )
    onnx_scale: float = options.option(
        1.0, "onnx: what pixels are multiplied by, after --onnx_mean."
    )
    onnx_layout: str = options.option(
        "nchw", "onnx: order of the input's axes.", choices=("nchw", "nhwc")
    )
    onnx_channels: str = options.option(
        "rgb", "onnx: order of the input's channels.", choices=("rgb", "bgr")
    )
    background: bool = options.option(
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
          errors.ConfigError: if it is not one finite number or three.
        """
        shown = ",".join(self.onnx_mean)
        try:
            values = [float(value) for value in self.onnx_mean]
        except ValueError:
            values = []
        if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
            raise errors.ConfigError(
                f"--onnx_mean={shown}: must be one finite number, or three with commas"
            )
        first, second, third = values * 3 if len(values) == 1 else values
        return first, second, third
