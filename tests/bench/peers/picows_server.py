"""The fastest websocket library for Python (Cython) on the fastest event loop, one file per call."""

import json
import pathlib
import ssl
import sys

import uvloop
from picows import WSListener, WSMsgType, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

port, out = int(sys.argv[1]), pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
tls = None
if len(sys.argv) > 3:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[3])


class Recorder(WSListener):
    file = None

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.BINARY:
            self.file.write(frame.get_payload_as_memoryview())
        elif frame.msg_type == WSMsgType.TEXT:
            self.file = open(out / f"{json.loads(frame.get_payload_as_bytes())['callSid']}.raw", "wb")
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(1000)
            transport.disconnect()

    def on_ws_disconnected(self, transport):
        if self.file:
            self.file.close()


def accept(request):
    response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": "audio.jambonz.org"})
    return WSUpgradeResponseWithListener(response, Recorder())


async def main():
    server = await ws_create_server(accept, "127.0.0.1", port, ssl=tls)
    await server.serve_forever()


uvloop.run(main())
