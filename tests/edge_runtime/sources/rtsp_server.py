"""A network camera: GStreamer's RTSP server, run by the system's Python, which has the bindings.

    /usr/bin/python3 rtsp_server.py h264|mjpeg PICTURE USER PASSWORD PORT

Plays one picture without end at 25 frames a second as `rtsp://127.0.0.1:PORT/camera`, and prints the port;
an empty USER lets everybody in, port 0 takes a free one.
Debian's packages: gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good, gstreamer1.0-plugins-ugly,
python3-gi.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": "format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 "
    "! rtph264pay name=pay0 pt=96",
    # JPEG's luma has the full range, which GStreamer writes as 1:4:0:0.
    "mjpeg": "format=I420,colorimetry=1:4:0:0 ! jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def guard(server: GstRtspServer.RTSPServer, user: str, password: str) -> None:
    """Let in who knows user and password, by digest or basic authentication."""
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "visitor")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)


def main() -> None:
    codec, picture, user, password, port = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory(shared=True)
    factory.set_launch(
        f"( multifilesrc location={picture} loop=true caps=image/png,framerate=25/1 ! pngdec "
        f"! videoconvert ! video/x-raw,{ENCODERS[codec]} )"
    )
    factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP)
    if user:
        guard(server, user, password)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("visitor", "media.factory.access", True)
        permissions.add_permission_for_role("visitor", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
