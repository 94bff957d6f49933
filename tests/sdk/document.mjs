// The official client follows a growing document by differences, in JSON and Protobuf, drops its connection now and then and
// comes back by itself.
//
// env     NATTER_HOST  host and port of the gateway
// stdin   JSON lines: the publications, as the test made them; the end of them
// stdout  JSON lines, event: `joined`, then `summary`
// exit    0 when each client holds every publication once, in order and unchanged

import assert from 'node:assert/strict';
import readline from 'node:readline';
import { Centrifuge as JsonClient } from 'centrifuge';
import { Centrifuge as ProtobufClient } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';
import { print, run, until } from './common.mjs';

const LIMIT = 20_000;
const ROOM = 'document:one';
const DROP_EVERY = 25;
const url = `ws://${process.env.NATTER_HOST}/connection/websocket`;
const text = new TextDecoder();

function follower(name, Client, delta) {
  const each = { name, heard: [], changed: () => {} };
  const client = new Client(url, { websocket: WebSocket, minReconnectDelay: 10, maxReconnectDelay: 50 });
  const subscription = client.newSubscription(ROOM, { delta });
  subscription.on('publication', ({ data }) => {
    each.heard.push(name.startsWith('json') ? data : JSON.parse(text.decode(data)));
    each.changed();
    if (each.heard.length % DROP_EVERY === 0) client._transport._transport.close();
  });
  each.ready = async () => {
    client.connect();
    subscription.subscribe();
    await subscription.ready(LIMIT);
  };
  each.end = () => client.disconnect();
  return each;
}

async function main() {
  const followers = [
    follower('json delta', JsonClient, 'fossil'),
    follower('protobuf delta', ProtobufClient, 'fossil'),
    follower('json whole', JsonClient),
  ];
  await Promise.all(followers.map(({ ready }) => ready()));
  print('joined');
  const said = [];
  for await (const line of readline.createInterface({ input: process.stdin })) said.push(JSON.parse(line));
  const shown = () => followers.map(({ name, heard }) => `${name}: ${heard.length} of ${said.length}`).join(', ');
  const all = until(() => followers.every(({ heard }) => heard.length >= said.length), LIMIT, shown);
  for (const each of followers) each.changed = all.changed;
  all.changed();
  await all.reached;
  for (const { name, heard } of followers) assert.deepEqual(heard, said, name);
  for (const { end } of followers) end();
  return { ok: true };
}

run(main);
