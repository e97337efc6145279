"""The recorder that a Python developer writes first: the websockets library, one file per call."""

import asyncio
import json
import pathlib
import sys

from websockets.asyncio.server import serve

port, out = int(sys.argv[1]), pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)


async def record(connection):
    metadata = json.loads(await connection.recv())
    with open(out / f"{metadata['callSid']}.raw", "wb") as file:
        async for message in connection:
            if isinstance(message, bytes):
                file.write(message)


async def main():
    async with serve(record, "127.0.0.1", port, subprotocols=["audio.jambonz.org"], compression=None) as server:
        await server.serve_forever()


asyncio.run(main())
