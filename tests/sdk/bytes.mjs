// A room of any bytes: the Protobuf build of the official client takes them, its JSON build is told why it cannot.
//
// env     NATTER_HOST  host and port of a gateway with the namespaces `bytes` (binary) and `texts`
// stdout  JSON lines, event: `ready` → (the test publishes by the server API) → `summary`
// exit    0 when everything held

import assert from 'node:assert/strict';
import { Centrifuge as JsonClient } from 'centrifuge';
import { Centrifuge as ProtobufClient } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import { print, run, until } from './common.mjs';

const LIMIT = 10_000;
const url = `ws://${process.env.NATTER_HOST}/connection/websocket`;

async function connect(Client) {
  const client = new Client(url, { websocket: WebSocket });
  client.connect();
  await client.ready(LIMIT);
  return client;
}

async function takeBytes() {
  const [speaker, listener, json] = await Promise.all([ProtobufClient, ProtobufClient, JsonClient].map(connect));
  const heard = [];
  const subscription = listener.newSubscription('bytes:x');
  const all = until(() => heard.length === 3, LIMIT, () => `${heard.length} of 3 messages`);
  subscription.on('publication', ({ data }) => {
    heard.push([...data]);
    all.changed();
  });
  subscription.subscribe();
  await subscription.ready(LIMIT);

  const said = [[0, 255, 10, 13, 34], [1]];
  for (const bytes of said) await speaker.publish('bytes:x', Uint8Array.from(bytes));
  const refused = json.newSubscription('bytes:x');
  const reason = await new Promise((resolve) => {
    refused.on('unsubscribed', resolve);
    refused.subscribe();
  });
  assert.equal(reason.code, 107);
  assert.match(reason.reason, /payload: binary/);
  await assert.rejects(json.history('bytes:x', { limit: 1 }), { code: 107 });

  // Where members may speak JSON, nobody says anything else.
  const texts = json.newSubscription('texts:x');
  const lines = [];
  const line = until(() => lines.length === 1, LIMIT, () => 'no text came');
  texts.on('publication', ({ data }) => {
    lines.push(data);
    line.changed();
  });
  texts.subscribe();
  await texts.ready(LIMIT);
  for (const bytes of [[0xff], [0x7b], [], [0x22, 0x0a, 0x22]]) {
    await assert.rejects(speaker.publish('texts:x', Uint8Array.from(bytes)), { code: 107 });
  }
  await speaker.publish('texts:x', new TextEncoder().encode('{"a":\n1}'));
  await line.reached;
  assert.deepEqual(lines, [{ a: 1 }]);

  print('ready');
  await all.reached;
  assert.deepEqual(heard, [...said, [0, 10, 13, 255, 34]]);
  return { ok: true };
}

run(takeBytes);
