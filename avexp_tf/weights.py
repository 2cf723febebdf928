"""Fetches the published networks that find and describe faces.

    avexp-weights list
    avexp-weights download ssd vggface
    avexp-weights download vggface --from=rcmalli_vggface_tf_vgg16.h5
    avexp-weights download vggface --mirror=http://our.server/weights
    avexp-weights verify

They are kept in ~/.cache/avexp_tf (below XDG_CACHE_HOME where that is set), or where
the variable AVEXP_WEIGHTS says. An interrupted download goes on where it was. A file is
kept only if it is what was published. Their licences are not this package's; `list`
names them.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf.features import download
from avexp_tf.features import weights

_VERBS = ("list", "download", "verify")


def define_flags() -> None:
    """Defines the flags of this command."""
    if "mirror" in flags.FLAGS:
        return
    module = avexp_flags.MODULE
    flags.DEFINE_string(
        "mirror",
        "",
        "download: an address that has the files under the same names.",
        module_name=module,
    )
    flags.DEFINE_string(
        "from", "", "download: a file on this machine.", module_name=module
    )


def main(argv: Sequence[str]) -> int:
    """Does what the words of the command line say."""
    if len(argv) < 2 or argv[1] not in _VERBS:
        given = argv[1] if len(argv) > 1 else ""
        raise errors.ConfigError(
            f"{given!r}: must be one of {', '.join(_VERBS)}; see --help"
        )
    networks = [_network(name) for name in argv[2:]]
    if argv[1] == "list":
        return show(networks or list(weights.NETWORKS.values()))
    if argv[1] == "verify":
        return verify(networks or list(weights.NETWORKS.values()))
    if not networks:
        raise errors.ConfigError(
            f"download: name what to fetch: {', '.join(weights.NETWORKS)}"
        )
    local = str(flags.FLAGS["from"].value)
    if local:
        if len(networks) > 1:
            raise errors.ConfigError(f"--from={local}: takes one network at a time")
    else:
        networks += [weights.NETWORKS[name] for one in networks for name in one.needs]
    for network in networks:
        path = download.download(
            network, weights.folder(), mirror=flags.FLAGS.mirror, local=local
        )
        print(f"{network.name}: {path}")
    return 0


def show(networks: Sequence[weights.Network]) -> int:
    """Prints what is known of each network.

    Args:
      networks: Which.

    Returns:
      The exit code.
    """
    for network in networks:
        there = (weights.folder() / network.file).is_file()
        size = f"{network.n_bytes} bytes" if network.n_bytes else "not stated"
        digest = network.sha256[0] if network.sha256 else _NO_DIGEST
        print(f"{network.name}: {network.what}")
        print(f"  file     {network.file} ({'here' if there else 'not here'})")
        print(f"  address  {network.address}")
        print(f"  licence  {network.licence}")
        print(f"  size     {size}")
        print(f"  sha256   {digest}")
    print(f"folder: {weights.folder()}")
    return 0


_NO_DIGEST = "not published; checked layer by layer"


def verify(networks: Sequence[weights.Network]) -> int:
    """Checks the networks that are here and prints what it found.

    Args:
      networks: Which; those that are not here are passed over.

    Returns:
      The exit code: 1 if one is damaged.
    """
    code = 0
    for network in networks:
        path = weights.folder() / network.file
        if not path.is_file():
            print(f"{network.name}: not here")
            continue
        try:
            print(f"{network.name}: right, sha256 {weights.check(network, path)}")
        except errors.DataError as error:
            print(f"{network.name}: DAMAGED: {error}")
            code = 1
    return code


def _network(name: str) -> weights.Network:
    if name not in weights.NETWORKS:
        raise errors.ConfigError(
            f"{name!r}: must be one of {', '.join(weights.NETWORKS)}"
        )
    return weights.NETWORKS[name]


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
