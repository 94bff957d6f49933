"""What the gateway refuses, as the `websockets` library sees it: every refusal must arrive as a clean close or status.

usage: refusals.py URL
"""

import asyncio
import sys

from member import check
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

LIMIT = 64 * 1024


async def closed_with(url, code, send):
    # Without `async with`: its close() trips over asyncio when the end came while there was still something to send.
    socket = await connect(url, ping_interval=None)
    try:
        await send(socket)
    except ConnectionClosedError:
        pass  # the close arrived before everything was sent
    await asyncio.wait_for(socket.wait_closed(), 10)
    check(socket.close_code == code, f"closed with {socket.close_code} where {code} was due")
    check(socket.close_reason != "", "closed without a reason")


async def refused_with(url, status, **options):
    try:
        await connect(url, **options)
    except InvalidStatus as error:
        check(error.response.status_code == status, f"{error} where {status} was due")
        check(len(error.response.body) > 0, "refused without a word")
    else:
        raise AssertionError(f"{status} was due")


async def main(url):
    await closed_with(url, 1009, lambda socket: socket.send("x" * (LIMIT + 1)))
    await closed_with(url, 1009, lambda socket: socket.send(["x" * LIMIT, "x"]))
    await closed_with(url, 1009, lambda socket: socket.send("x" * (10 * 1024 * 1024)))
    await closed_with(url, 1007, lambda socket: socket.send(b'{"id":1,"connect":{"name":"\xff"}}', text=True))
    await closed_with(url, 3501, lambda socket: socket.send("no json"))
    await refused_with(url, 403, origin="https://evil.example")
    await refused_with(url.replace("/websocket", "/http_stream"), 405)


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 25))
