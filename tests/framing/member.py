"""A member of a room, by the `websockets` library."""

import json

from websockets.asyncio.client import connect


def check(holds, what):
    if not holds:
        raise AssertionError(what)


async def reply(socket, number):
    """The reply of this number; publications before it are kept apart by the caller's order of questions."""
    while True:
        value = json.loads(await socket.recv())
        if value.get("id") == number:
            return value


async def publication(socket):
    while True:
        value = json.loads(await socket.recv())
        if "push" in value:
            return value["push"]["pub"]["data"]


async def join(url, **options):
    socket = await connect(url, ping_interval=None, **options)
    await socket.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"room"}}')
    check("connect" in await reply(socket, 1), "connect was refused")
    check(await reply(socket, 2) == {"id": 2, "subscribe": {}}, "subscribe was refused")
    return socket
