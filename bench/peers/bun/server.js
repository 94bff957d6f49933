// Bun's native WebSocket pub/sub (µWebSockets) as a peer of natter-bench: the commands of a load in the Centrifuge protocol, found by
// text search, and the frames that a gateway delivers.

const PUBLISHED = '{"result":{}}';
const JSON_TYPE = { headers: { 'Content-Type': 'application/json' } };

/** Publishes `{"channel":"room","data":data}`, the part of `text` between `from` and `to`. */
function publish(server, text, from, to, info) {
  const channel = from + '{"channel":"'.length;
  const end = text.indexOf('"', channel);
  const room = text.slice(channel, end);
  const data = text.slice(end + '","data":'.length, to - 1);
  // The third argument: without compression.
  server.publish(room, `{"push":{"channel":"${room}","pub":{"data":${data}${info}}}}`, false);
}

/** Carries out a command such as `{"id":7,"publish":{...}}`. */
function command(ws, text) {
  if (text === '{}') return; // a pong
  const comma = text.indexOf(',');
  const id = text.slice('{"id":'.length, comma);
  const name = comma + 2;
  if (text.startsWith('publish"', name)) {
    const { client } = ws.data;
    publish(server, text, name + 'publish":'.length, text.length - 1, `,"info":{"user":"","client":"${client}"}`);
    ws.send(`{"id":${id},"publish":{}}`, false);
  } else if (text.startsWith('subscribe"', name)) {
    const channel = name + 'subscribe":{"channel":"'.length;
    ws.subscribe(text.slice(channel, text.indexOf('"', channel)));
    ws.send(`{"id":${id},"subscribe":{}}`, false);
  } else {
    ws.send(`{"id":${id},"connect":{"client":"${ws.data.client}"}}`, false);
  }
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  async fetch(request, server) {
    if (server.upgrade(request, { data: { client: crypto.randomUUID() } })) return;
    const body = await request.text();
    publish(server, body, 0, body.length, '');
    return new Response(PUBLISHED, JSON_TYPE);
  },
  websocket: {
    message: command,
    // Frames go out as they are, as those of the others do.
    perMessageDeflate: false,
    // A slow reader keeps its queue instead of losing messages from it: as much as the load can make it fall behind.
    backpressureLimit: 64 * 1024 * 1024,
    closeOnBackpressureLimit: false,
  },
});

// Sockets have TCP_NODELAY from the start.
const listening = { level: 'INFO', message: 'listening', public: `127.0.0.1:${server.port}`, version: `Bun ${Bun.version}` };
console.error(JSON.stringify(listening));
