"""Plays a Matroska file over RTSP, as a network camera does; prints its port.

    /usr/bin/python3 rtsp_server.py FILE

For the system's Python, which is where Debian's GStreamer packages put their bindings.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib  # noqa: E402
from gi.repository import Gst  # noqa: E402
from gi.repository import GstRtspServer  # noqa: E402

_PIPELINE = (
    "( filesrc location={} ! matroskademux name=file"
    " file.video_0 ! queue ! rtpmp4vpay name=pay0 pt=96"
    " file.audio_0 ! queue ! audioconvert ! rtpL16pay name=pay1 pt=97 )"
)


def main() -> None:
    """Serves until it is ended."""
    if len(sys.argv) == 1:
        return  # this Python has what it takes
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")  # any free port
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(_PIPELINE.format(sys.argv[1]))
    server.get_mount_points().add_factory("/call", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
