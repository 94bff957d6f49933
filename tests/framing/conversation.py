"""A conversation by the `websockets` library: fragments, pings, large messages, and a clean close from either side.

usage: conversation.py URL
"""

import asyncio
import json
import sys

from member import check, join, publication

LIMIT = 64 * 1024


async def fragments(socket):
    """An iterable is sent as one message in as many frames, one of which cuts nothing off."""
    command = '{"id":3,"publish":{"channel":"room","data":"in pieces 😀"}}'
    await socket.send([command[:5], "", command[5:30], command[30:]])
    check(await publication(socket) == "in pieces 😀", "a fragmented message was changed")
    await socket.send(command.replace("pieces", "bytes").encode())  # a binary frame
    check(await publication(socket) == "in bytes 😀", "a binary frame was changed")


async def pings(socket):
    for payload in (b"", b"x" * 125):
        latency = await asyncio.wait_for(await socket.ping(payload), 10)
        check(latency >= 0, "a ping was not answered")


async def largest(socket):
    head, tail = '{"id":4,"publish":{"channel":"room","data":"', '"}}'
    data = "x" * (LIMIT - len(head) - len(tail))
    await socket.send(head + data + tail)
    check(await publication(socket) == data, "the largest message was changed")


async def closed_by_us(url):
    socket = await join(url)
    await fragments(socket)
    await pings(socket)
    await largest(socket)
    await socket.close(1001, "going away")
    check((socket.close_code, socket.protocol.close_rcvd.code) == (1001, 1001), "the close was not answered with its code")
    check(socket.protocol.close_rcvd_then_sent is False, "the gateway closed first")


async def closed_by_the_gateway(url):
    socket = await join(url, additional_headers={"x-user": "python"})
    print(json.dumps({"event": "disconnect me"}), flush=True)
    await asyncio.wait_for(socket.wait_closed(), 10)
    check((socket.close_code, socket.close_reason) == (4000, "enough"), f"closed with {socket.close_code}")
    check(socket.protocol.close_rcvd_then_sent is True, "the close of the gateway was not the first")


async def main(url):
    await closed_by_us(url)
    await closed_by_the_gateway(url)


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 25))
