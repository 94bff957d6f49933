// The official client in a room that it never asked for: the one of its user, which it recovers when it comes back.
//
// env     NATTER_HOST  host and port that the client connects to; the test cuts this one
// stdout  JSON lines, event: `connected` → `heard` (0) → `recovered` (1 to 20) → `expired` → `summary` (21, 22)
// exit    0 when everything published came once and in order, over two endings

import assert from 'node:assert/strict';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { print, run, until } from './common.mjs';

const LIMIT = 20_000;
const ROOM = 'me:#42';

class AsUser extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { headers: { 'x-user': '42' } });
  }
}

async function listen() {
  const client = new Centrifuge(`ws://${process.env.NATTER_HOST}/connection/websocket`, {
    websocket: AsUser, minReconnectDelay: 50, maxReconnectDelay: 200,
  });
  const heard = [];
  const subscribed = [];
  let progress = { changed: () => {} };
  let over = false;
  const expired = until(() => over, LIMIT, () => 'no end with 3005');
  const reach = async (count) => {
    progress = until(() => heard.length >= count, LIMIT, () => `${heard.length} of ${count}`);
    progress.changed();
    await progress.reached;
  };
  client.on('subscribed', (context) => subscribed.push(context));
  client.on('connecting', ({ code }) => {
    over ||= code === 3005;
    expired.changed();
  });
  client.on('publication', ({ channel, data }) => {
    assert.equal(channel, ROOM);
    heard.push(data);
    progress.changed();
  });
  client.connect();
  await client.ready(LIMIT);
  assert.deepEqual(subscribed.map(({ channel, recoverable }) => [channel, recoverable]), [[ROOM, true]]);
  print('connected');
  await reach(1);
  print('heard');
  await reach(21);
  assert.ok(subscribed.at(-1).wasRecovering && subscribed.at(-1).recovered, JSON.stringify(subscribed));
  print('recovered');
  await expired.reached;
  print('expired');
  await reach(23);
  assert.deepEqual(heard, Array.from({ length: 23 }, (_, number) => number));
  client.disconnect();
  return { ok: true, subscribed: subscribed.length };
}

run(listen);
