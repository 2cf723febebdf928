"""The published networks that this package uses, and where they lie on this machine.

None of them comes with the package. `avexp-weights` fetches them.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

from avexp_tf import errors
from avexp_tf import files

FOLDER_VARIABLE = "AVEXP_WEIGHTS"

_ZOO = "https://github.com/opencv/opencv_zoo/raw/main/models"
_SAMPLES = "https://raw.githubusercontent.com/opencv/opencv"
_THIRD_PARTY = "https://github.com/opencv/opencv_3rdparty/raw"


@dataclasses.dataclass(frozen=True)
class Network:
    """One published file.

    Attributes:
      name: What `avexp-weights` calls it.
      what: What it is.
      file: Its name in the weights folder.
      address: Where it is published.
      licence: Under what terms, as far as its publisher says.
      n_bytes: Its size; 0 where it isn't known for sure.
      sha256: Its digest; several where copies differ in a line end; none where it
        isn't known: then what the file holds is compared layer by layer.
      needs: Names of the files that it is of no use without.
    """

    name: str
    what: str
    file: str
    address: str
    licence: str
    n_bytes: int = 0
    sha256: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


_ALL = (
    Network(
        name="ssd",
        what="SSD/ResNet-10 face detector, TensorFlow form (--face_detector=ssd)",
        file="opencv_face_detector_uint8.pb",
        address=f"{_THIRD_PARTY}/8033c2bc31b3256f0d461c919ecc01c2428ca03b/"
        "opencv_face_detector_uint8.pb",
        licence="published by OpenCV (Apache-2.0); no terms of its own",
        n_bytes=2_727_750,
        sha256=("5c71d752ef2cbf2f457ac82fdd580fcb2522fd04c5efdaed18eb6d9e2843fbed",),
        needs=("ssd_graph",),
    ),
    Network(
        name="ssd_graph",
        what="its graph",
        file="opencv_face_detector.pbtxt",
        address=f"{_SAMPLES}/ab129cfb80ea437e194c702f4b39fd67153ee15c/"
        "samples/dnn/face_detector/opencv_face_detector.pbtxt",
        licence="Apache-2.0",
        n_bytes=34_912,
        sha256=("5397808362fc6fb7c4044484848e297b22449d913a267fa7f8bd9d86dce29144",),
    ),
    Network(
        name="ssd_caffe",
        what="the same detector, Caffe form (--face_detector=ssd_caffe, OpenCV 4)",
        file="res10_300x300_ssd_iter_140000.caffemodel",
        address=f"{_THIRD_PARTY}/dnn_samples_face_detector_20170830/"
        "res10_300x300_ssd_iter_140000.caffemodel",
        licence="published by OpenCV (Apache-2.0); no terms of its own",
        n_bytes=10_666_211,
        sha256=("2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",),
        needs=("ssd_caffe_graph",),
    ),
    Network(
        name="ssd_caffe_graph",
        what="its graph",
        file="deploy.prototxt",
        address=f"{_SAMPLES}/3.4.0/samples/dnn/face_detector/deploy.prototxt",
        licence="Apache-2.0",
        sha256=(
            "f62621cac923d6f37bd669298c428bb7ee72233b5f8c3389bb893e35ebbcf795",
            # Without the line end after the last line.
            "85abd2feeb48703094444073b29ecbcc1ebb66481548e5808e90f38681123ca7",
        ),
    ),
    Network(
        name="yunet",
        what="YuNet face detector (--face_detector=yunet)",
        file="face_detection_yunet_2023mar.onnx",
        address=f"{_ZOO}/face_detection_yunet/face_detection_yunet_2023mar.onnx",
        licence="MIT",
        n_bytes=232_589,
        sha256=("8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",),
    ),
    Network(
        name="vggface",
        what="VGG-Face, VGG16 of Parkhi 2015 (--visual_backbone=vggface)",
        file="rcmalli_vggface_tf_vgg16.h5",
        address="https://github.com/rcmalli/keras-vggface/releases/download/v2.0/"
        "rcmalli_vggface_tf_vgg16.h5",
        licence="non-commercial research, CC BY-NC (University of Oxford)",
    ),
    Network(
        name="sface",
        what="SFace, 112x112 to 128 features (--visual_backbone=onnx:PATH)",
        file="face_recognition_sface_2021dec.onnx",
        address=f"{_ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx",
        licence="Apache-2.0",
        n_bytes=38_696_353,
        sha256=("0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",),
    ),
)

NETWORKS = {network.name: network for network in _ALL}


def folder() -> pathlib.Path:
    """Returns where networks are kept: AVEXP_WEIGHTS, or in the user's cache."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return pathlib.Path(given)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "avexp_tf"


def locate(name: str) -> pathlib.Path:
    """Returns the file of a network.

    Args:
      name: One of `NETWORKS`.

    Returns:
      A file that is there and has the right size.

    Raises:
      errors.DataError: if it is not there, or has another size.
    """
    network = NETWORKS[name]
    path = folder() / network.file
    if not path.is_file():
        raise errors.DataError(
            f"{path}: this network is not here yet: run `avexp-weights download "
            f"{name}`, or where there is no network, copy the file from "
            f"{network.address} by another way and run "
            f"`avexp-weights download {name} --from=FILE`"
        )
    n_bytes = path.stat().st_size
    if network.n_bytes and n_bytes != network.n_bytes:
        raise errors.DataError(
            f"{path}: has {n_bytes} bytes, must have {network.n_bytes}: remove it and "
            f"run `avexp-weights download {name}`"
        )
    return path


def check(network: Network, path: str | os.PathLike[str]) -> str:
    """Looks whether a file is the network that was published.

    Args:
      network: What it should be.
      path: The file.

    Returns:
      Its SHA-256.

    Raises:
      errors.DataError: if it is another or damaged.
    """
    sha256 = files.sha256(path)
    if network.sha256 and sha256 not in network.sha256:
        raise errors.DataError(
            f"{path}: SHA-256 is {sha256}, must be {network.sha256[0]} for "
            f"{network.name}"
        )
    if network.name == "vggface":
        from avexp_tf.features import vggface_file

        vggface_file.check(path)
    return sha256
