"""Maps the folders of the checkout to the packages that get installed.

`tfrecords/` and `export/` are leaves at the top of the checkout, and install as
`avexp_tf.tfrecords` and `avexp_tf.export`: a wheel never puts a generic name such as
`export` at the top level of somebody's environment. `configs/` travels along, so that
an installed command finds its presets. All the rest is in pyproject.toml.
"""

import setuptools

packages = setuptools.find_packages(include=["avexp_tf", "avexp_tf.*"])

setuptools.setup(
    packages=[
        *packages,
        "avexp_tf.tfrecords",
        "avexp_tf.export",
        "avexp_tf.export.serving",
        "avexp_tf.configs",
    ],
    package_dir={
        "avexp_tf": "avexp_tf",
        "avexp_tf.tfrecords": "tfrecords",
        "avexp_tf.export": "export",
        "avexp_tf.export.serving": "export/serving",
        "avexp_tf.configs": "configs",
    },
    package_data={
        "avexp_tf": ["py.typed"],
        "avexp_tf.live": ["page.js"],
        "avexp_tf.configs": ["*.flags", "*.json"],
        "avexp_tf.export": ["README.md"],
        "avexp_tf.export.serving": ["*"],
    },
)
