"""The official Python client, in JSON and Protobuf, in a room that is cut and comes back.

What it reads and prints is that of tests/sdk/transports.mjs.
"""

import asyncio
import json
import os
import sys

from centrifuge import Client, SubscriptionEventHandler

LIMIT = 20
ROOM = "kept:everyone"


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def check(holds, otherwise):
    if not holds:
        raise AssertionError(otherwise)


async def word(expected):
    line = await asyncio.to_thread(sys.stdin.readline)
    check(line.strip() == expected, f"expected {expected} on stdin, got {line!r}")


class Member(SubscriptionEventHandler):
    """A client in the room. Its Protobuf build takes and gives bytes."""

    def __init__(self, name):
        self.name, self.is_protobuf = name, name == "protobuf"
        self.heard, self.recovered = [], 0
        self.changed = asyncio.Condition()

    async def join(self, host):
        self.client = client(host, self.is_protobuf)
        self.subscription = self.client.new_subscription(ROOM, events=self)
        await self.subscription.subscribe()
        await self.client.connect()
        await self.subscription.ready(LIMIT)

    def write(self, message):
        return json.dumps(message).encode() if self.is_protobuf else message

    def read(self, data):
        return json.loads(data) if self.is_protobuf else data

    async def on_subscribed(self, context):
        self.recovered += context.was_recovering and context.recovered

    async def on_publication(self, context):
        async with self.changed:
            self.heard.append(self.read(context.pub.data))
            self.changed.notify_all()

    async def hears(self, said):
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.heard) >= len(said))
        check(self.heard == said, f"{self.name} heard {self.heard}")


def client(host, is_protobuf=False):
    return Client(
        f"ws://{host}/connection/websocket" + ("?format=protobuf" if is_protobuf else ""),
        use_protobuf=is_protobuf,
        max_reconnect_delay=0.2,
        proxy=None,
    )


async def converse():
    members = [Member("json"), Member("protobuf")]
    await asyncio.gather(*(member.join(os.environ["NATTER_HOST"]) for member in members))
    writer = client(os.environ["NATTER_WRITER"])
    await writer.connect()
    said = []

    async def say(publish, message):
        said.append(message)
        await publish(message)

    async def all_hear():
        await asyncio.gather(*(member.hears(said) for member in members))

    for member in members:
        await say(lambda message: member.subscription.publish(member.write(message)), {"from": member.name, "text": "zwölf 🦊"})
    for number in range(20):
        await say(lambda message: writer.publish(ROOM, message), {"number": number})
    await all_hear()
    emit("joined")

    await word("cut")
    for number in range(10):
        await say(lambda message: writer.publish(ROOM, message), {"missed": number})
    emit("missed")
    await word("back")
    await all_hear()
    for member in members:
        check(member.recovered > 0, f"{member.name} did not recover")
        history = await member.subscription.history(limit=100)
        kept = [member.read(publication.data) for publication in history.publications]
        check(kept == said, f"{member.name} reads {kept}")
        check(history.offset == len(said), f"{member.name} is at {history.offset}")
        present = await member.subscription.presence()
        check(len(present.clients) == len(members), f"{len(present.clients)} are there")
    emit("summary", messages=len(said))


try:
    asyncio.run(asyncio.wait_for(converse(), 3 * LIMIT))
except Exception as failure:  # the test reads the event
    emit("failed", reason=repr(failure))
    raise
