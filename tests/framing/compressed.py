"""A conversation by the `websockets` library with compressed messages in both directions.

usage: compressed.py URL
"""

import asyncio
import json
import sys

from member import check, join, publication
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


async def converse(url, answer, **options):
    """Messages of many sizes come back as they were sent; the library compresses all of its own."""
    async with await join(url, **options) as socket:
        got = socket.response.headers.get("Sec-WebSocket-Extensions")
        check(got == answer, f"the offer was answered by {got}")
        for length in (0, 1, 50, 117, 118, 4_000, 20_000, 60_000):
            data = ("öfter mal was Neues, " * length)[:length // 2]
            command = json.dumps({"id": 3, "publish": {"channel": "room", "data": data}}, ensure_ascii=False)
            # Once whole, once in two fragments.
            await socket.send(command)
            check(await publication(socket) == data, f"a message of {length} was changed")
            await socket.send([command[:7], command[7:]])
            check(await publication(socket) == data, f"a fragmented message of {length} was changed")


def offer(**parameters):
    return {"compression": None, "extensions": [ClientPerMessageDeflateFactory(**parameters)]}


async def main(url):
    await converse(url, ANSWER)  # what the library offers by itself
    await converse(url, ANSWER, **offer(client_max_window_bits=9))
    await converse(url, ANSWER, **offer(server_no_context_takeover=True, client_no_context_takeover=True))
    await converse(url, f"{ANSWER}; server_max_window_bits=12", **offer(server_max_window_bits=15))
    await converse(url, None, **offer(server_max_window_bits=9))
    await converse(url, None, compression=None)


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 25))
