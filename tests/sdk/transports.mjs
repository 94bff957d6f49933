// The official client over every transport and encoding, all in one room, which is cut and comes back.
//
// env     NATTER_HOST       host and port that the clients connect to; the test cuts this one
//         NATTER_EMULATION  host and port of another gateway, which takes what clients of streams say
//         NATTER_WRITER     host and port that is not cut
//         NATTER_SECURE     `s` when the gateways speak TLS; NODE_EXTRA_CA_CERTS says whom to trust
// stdout  JSON lines, event: `joined` → (stdin `cut`) → `missed` → (stdin `back`) → `summary`
// exit    0 when every client holds every message once and in order, reads the same history, and sees the others

import assert from 'node:assert/strict';
import { Centrifuge as JsonClient } from 'centrifuge';
import { Centrifuge as ProtobufClient } from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { print, run, until, word } from './common.mjs';

const LIMIT = 20_000;
const ROOM = 'kept:everyone';
const { NATTER_HOST: host, NATTER_EMULATION: emulation, NATTER_WRITER: writerHost, NATTER_SECURE: secure = '' } = process.env;
const text = new TextDecoder();
const bytes = new TextEncoder();

/** What the two builds of the SDK take and give. */
const ENCODINGS = {
  json: { Client: JsonClient, write: (value) => value, read: (data) => data },
  protobuf: {
    Client: ProtobufClient,
    write: (value) => bytes.encode(JSON.stringify(value)),
    read: (data) => JSON.parse(text.decode(data)),
  },
};

const TRANSPORTS = [
  ['websocket', 'json', `ws${secure}://${host}/connection/websocket`],
  ['websocket', 'protobuf', `ws${secure}://${host}/connection/websocket`],
  ['sse', 'json', `http${secure}://${host}/connection/sse`],
  ['http_stream', 'json', `http${secure}://${host}/connection/http_stream`],
  ['http_stream', 'protobuf', `http${secure}://${host}/connection/http_stream`],
];

function connect([transport, encoding, endpoint]) {
  const { Client, write, read } = ENCODINGS[encoding];
  const options = {
    websocket: WebSocket,
    eventsource: EventSource,
    emulationEndpoint: `http${secure}://${emulation}/emulation`,
    minReconnectDelay: 50,
    maxReconnectDelay: 200,
  };
  const client = new Client([{ transport, endpoint }], options);
  const each = { name: `${transport} ${encoding}`, client, write, read, heard: [], recovered: 0 };
  client.on('connected', (context) => { each.transport = context.transport; });
  each.subscription = client.newSubscription(ROOM);
  each.subscription.on('publication', ({ data }) => {
    each.heard.push(read(data));
    each.changed?.();
  });
  each.subscription.on('subscribed', ({ wasRecovering, recovered }) => {
    if (wasRecovering && recovered) each.recovered += 1;
  });
  each.subscription.subscribe();
  client.connect();
  return each;
}

/** Waits until every client has heard as much as was said. */
async function heardBy(clients, said, limit = LIMIT) {
  const missing = () => clients.map(({ name, heard }) => `${name}: ${heard.length} of ${said.length}`).join(', ');
  const progress = until(() => clients.every(({ heard }) => heard.length >= said.length), limit, missing);
  for (const each of clients) each.changed = progress.changed;
  progress.changed();
  await progress.reached;
  for (const { name, heard } of clients) assert.deepEqual(heard, said, name);
}

async function converse() {
  const clients = TRANSPORTS.map(connect);
  await Promise.all(clients.flatMap(({ client, subscription }) => [client.ready(LIMIT), subscription.ready(LIMIT)]));
  const writer = new JsonClient(`ws${secure}://${writerHost}/connection/websocket`, { websocket: WebSocket });
  writer.connect();
  await writer.ready(LIMIT);

  const said = [];
  const say = async (publish, message) => {
    said.push(message);
    await publish(message);
  };
  for (const each of clients) {
    assert.equal(each.transport, each.name.split(' ')[0]);
    await say((message) => each.subscription.publish(each.write(message)), { from: each.name, text: 'zwölf 🦊' });
  }
  for (let number = 0; number < 20; number += 1) await say((message) => writer.publish(ROOM, message), { number });
  await heardBy(clients, said);
  print('joined', { clients: clients.map(({ name }) => name) });

  await word('cut');
  for (let number = 0; number < 10; number += 1) await say((message) => writer.publish(ROOM, message), { missed: number });
  print('missed');
  await word('back');
  await heardBy(clients, said);

  for (const each of clients) {
    const { publications, offset } = await each.subscription.history({ limit: 100 });
    assert.deepEqual(publications.map(({ data }) => each.read(data)), said, each.name);
    assert.equal(offset, said.length, each.name);
    assert.ok(each.recovered > 0, `${each.name} did not recover`);
    await assert.rejects(each.client.rpc('nobody', each.write(null)), { code: 108 }, each.name);
    const { clients: present } = await each.subscription.presence();
    assert.equal(Object.keys(present).length, clients.length, each.name);
  }
  for (const { client } of clients) client.disconnect();
  return { ok: true, messages: said.length };
}

run(converse);
