"""Networks are fetched from a server on this machine that misbehaves on purpose."""

import dataclasses
import hashlib
import http.server
import threading

import numpy as np
import pytest
from absl.testing import flagsaver

from avexp_tf import errors
from avexp_tf import weights as main_module
from avexp_tf.features import download
from avexp_tf.features import weights

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; breaks off after some bytes as often as it is told to."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.break_after = []
        self.knows_ranges = True
        self.status = 0
        self.asked = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server was told to."""

    def do_GET(self):
        server = self.server
        span = self.headers.get("Range", "")
        server.asked.append((self.path, span))
        if server.status:
            self.send_error(server.status)
            return
        first = 0
        if span and server.knows_ranges:
            first = int(span.removeprefix("bytes=").partition("-")[0])
            if first >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header(
                "Content-Range", f"bytes {first}-{last}/{len(server.content)}"
            )
        else:
            self.send_response(200)
        body = server.content[first:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.break_after:
            body = body[: server.break_after.pop(0)]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def network(server):
    return weights.Network(
        name="net",
        what="a network",
        file="net.bin",
        address=f"{server.address}/published/net.bin",
        licence="none",
        n_bytes=len(CONTENT),
        sha256=(hashlib.sha256(CONTENT).hexdigest(),),
    )


def fetch(network, folder, **options):
    return download.download(network, folder, pause_secs=0.0, **options)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if "lock" not in path.name)


def test_a_download_and_nothing_more_once_it_is_there(server, network, tmp_path):
    path = fetch(network, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert fetch(network, tmp_path / "new" / "folder") == path
    assert server.asked == [("/published/net.bin", "")]
    assert files_in(path.parent) == ["net.bin"]


def test_a_broken_connection_goes_on_where_it_was(server, network, tmp_path):
    server.break_after = [100_000, 50_000]
    assert fetch(network, tmp_path).read_bytes() == CONTENT
    assert [span for _, span in server.asked] == ["", "bytes=100000-", "bytes=150000-"]


def test_a_stopped_download_goes_on_in_the_next_call(server, network, tmp_path):
    server.break_after = [70_000, 0, 0, 0]
    with pytest.raises(
        errors.DataError, match="can't be fetched: the connection ended"
    ):
        fetch(network, tmp_path)
    assert files_in(tmp_path) == [".net.bin.part"]
    assert fetch(network, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=70000-"
    assert files_in(tmp_path) == ["net.bin"]


def test_a_server_without_ranges_starts_again(server, network, tmp_path):
    server.break_after = [70_000]
    server.knows_ranges = False
    assert fetch(network, tmp_path).read_bytes() == CONTENT


def test_a_whole_part_is_not_fetched_again(server, network, tmp_path):
    (tmp_path / ".net.bin.part").write_bytes(CONTENT)
    assert fetch(network, tmp_path).read_bytes() == CONTENT
    assert [span for _, span in server.asked] == ["bytes=300000-"]


def test_a_part_that_is_too_long_is_thrown_away(server, network, tmp_path):
    (tmp_path / ".net.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(network, tmp_path).read_bytes() == CONTENT
    assert [span for _, span in server.asked] == ["bytes=300004-", ""]


def test_the_wrong_content_is_not_kept(server, network, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(
        errors.DataError, match="is not the right file: SHA-256 is .* for net"
    ) as caught:
        fetch(network, tmp_path)
    assert network.sha256[0] in str(caught.value) and "\n" not in str(caught.value)
    assert files_in(tmp_path) == []


def test_a_damaged_file_is_replaced(network, tmp_path):
    (tmp_path / "net.bin").write_bytes(b"damaged")
    assert fetch(network, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "n_tries"), [(404, 1), (503, 4)])
def test_what_the_server_refuses(server, network, tmp_path, status, n_tries):
    server.status = status
    with pytest.raises(
        errors.DataError, match=f"HTTP status {status}.*--from=FILE"
    ) as caught:
        fetch(network, tmp_path)
    assert len(server.asked) == n_tries and "\n" not in str(caught.value)


def test_no_network_says_what_to_do(network, tmp_path):
    nobody = dataclasses.replace(network, address="http://127.0.0.1:9/net.bin")
    with pytest.raises(errors.DataError, match="where there is no network, bring the"):
        fetch(nobody, tmp_path)
    strange = dataclasses.replace(network, address="ftp://127.0.0.1/net.bin")
    with pytest.raises(errors.DataError, match="must start with http:// or https://"):
        fetch(strange, tmp_path)


def test_a_mirror_has_the_file_under_its_name(server, network, tmp_path):
    fetch(network, tmp_path, mirror=f"{server.address}/copies/")
    assert server.asked == [("/copies/net.bin", "")]


def test_a_local_file_is_copied_and_checked(server, network, tmp_path):
    (tmp_path / "mine").write_bytes(CONTENT)
    path = fetch(network, tmp_path / "kept", local=str(tmp_path / "mine"))
    assert path.read_bytes() == CONTENT and server.asked == []
    path.unlink()
    (tmp_path / "mine").write_bytes(CONTENT[1:])
    with pytest.raises(errors.DataError, match="mine: is not the right file"):
        fetch(network, tmp_path / "kept", local=str(tmp_path / "mine"))
    with pytest.raises(errors.DataError, match="nothing: can't be copied: No such"):
        fetch(network, tmp_path / "kept", local=str(tmp_path / "nothing"))
    assert files_in(tmp_path / "kept") == []


def test_the_registry_names_what_lies_in_the_folder(weights_dir, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
    for name, network in weights.NETWORKS.items():
        assert network.address.startswith("https://") and network.licence
        assert set(network.needs) <= set(weights.NETWORKS)
        if name != "vggface":
            digest = weights.check(network, weights.locate(name))
            assert digest in network.sha256


def test_locate_says_how_to_get_it_and_sees_another_size(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(errors.DataError, match="run `avexp-weights download yunet`"):
        weights.locate("yunet")
    path = tmp_path / weights.NETWORKS["yunet"].file
    path.write_bytes(b"short")
    with pytest.raises(errors.DataError, match="has 5 bytes, must have 232589"):
        weights.locate("yunet")
    monkeypatch.delenv(weights.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(weights.folder()) == "/somewhere/avexp_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert str(weights.folder()).endswith("/.cache/avexp_tf")


@pytest.fixture
def command(tmp_path, monkeypatch, network):
    """Runs `avexp-weights` with two networks, the first of which needs the other."""
    other = dataclasses.replace(network, name="graph", file="graph.bin")
    first = dataclasses.replace(network, needs=("graph",))
    monkeypatch.setattr(weights, "NETWORKS", {"net": first, "graph": other})
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "kept"))
    main_module.define_flags()

    def run(*words, **values):
        if not main_module.flags.FLAGS.is_parsed():
            main_module.flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver(**values):
            return main_module.main(["avexp-weights", *words])

    return run


def test_command_downloads_lists_and_verifies(command, server, tmp_path, capsys):
    assert command("verify") == 0
    assert "net: not here" in capsys.readouterr().out
    assert command("download", "net", mirror=f"{server.address}/m") == 0
    assert [path for path, _ in server.asked] == ["/m/net.bin", "/m/graph.bin"]
    assert command("list") == 0
    listed = capsys.readouterr().out
    assert "net.bin (here)" in listed and hashlib.sha256(CONTENT).hexdigest() in listed
    assert "licence  none" in listed and "/published/net.bin" in listed
    assert command("verify") == 0
    (tmp_path / "kept" / "net.bin").write_bytes(b"damaged")
    assert command("verify", "net") == 1
    assert "net: DAMAGED:" in capsys.readouterr().out


def test_command_takes_a_local_file(command, server, tmp_path):
    (tmp_path / "mine").write_bytes(CONTENT)
    assert command("download", "net", **{"from": str(tmp_path / "mine")}) == 0
    assert files_in(tmp_path / "kept") == ["net.bin"] and server.asked == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "'': must be one of list, download, verify"),
        (("fetch",), "'fetch': must be one of list, download, verify"),
        (("download",), "name what to fetch: net, graph"),
        (("download", "nets"), "'nets': must be one of net, graph"),
    ],
)
def test_command_says_what_it_does_not_know(command, words, message):
    with pytest.raises(errors.ConfigError, match=message):
        command(*words)
