"""The recorder that a Python developer writes first: the websockets library, one file per call."""

import asyncio
import json
import pathlib
import ssl
import sys

from websockets.asyncio.server import serve

port, out = int(sys.argv[1]), pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
tls = None
if len(sys.argv) > 3:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[3])


async def record(connection):
    metadata = json.loads(await connection.recv())
    with open(out / f"{metadata['callSid']}.raw", "wb") as file:
        async for message in connection:
            if isinstance(message, bytes):
                file.write(message)


async def main():
    protocol = "audio.jambonz.org"
    async with serve(record, "127.0.0.1", port, ssl=tls, subprotocols=[protocol], compression=None) as server:
        await server.serve_forever()


asyncio.run(main())
