// What the official client is told, in each room of a list, by each of several roles.
//
// env     NATTER_URLS   WebSocket address of a gateway
//         NATTER_ROLES  JSON: [{role, token, outside, tickets: {room: token}}]; without a token the client brings none
//         NATTER_ROOMS  JSON: the rooms, each asked for in the same order
// stdout  JSON lines, event: `answers` {role, room, answers: [subscribe, publish, presence, presence_stats, history]} for
//         each role and room, where an answer is "ok", an error's code, or "-" when it was not asked; then `summary`
// exit    0 when all were asked

import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { gateways, print, run } from './common.mjs';

const LIMIT = 20_000;
const [url] = gateways();

async function ask({ role, token, outside, tickets }, rooms) {
  const client = new Centrifuge(url, { websocket: WebSocket, ...(token && { token }) });
  client.connect();
  await client.ready(LIMIT);
  for (const room of rooms) {
    const subscribed = outside ? '-' : await join(client, room, tickets[room]);
    const answers = [subscribed];
    for (const call of [
      () => client.publish(room, { from: role }),
      () => client.presence(room),
      () => client.presenceStats(room),
      () => client.history(room, { limit: 1 }),
    ]) {
      answers.push(await call().then(() => 'ok', ({ code }) => String(code)));
    }
    print('answers', { role, room, answers });
  }
  client.disconnect();
}

/** Subscribes and gives "ok" or the code of the error. */
function join(client, room, ticket) {
  const subscription = client.newSubscription(room, ticket ? { token: ticket } : {});
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer about ${room}: ${subscription.state}`)), LIMIT);
    const end = (answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    subscription.on('subscribed', () => end('ok'));
    subscription.on('unsubscribed', ({ code }) => end(String(code)));
    subscription.subscribe();
  });
}

run(async () => {
  const roles = JSON.parse(process.env.NATTER_ROLES);
  const rooms = JSON.parse(process.env.NATTER_ROOMS);
  for (const role of roles) await ask(role, rooms);
  return { ok: true, roles: roles.length, rooms: rooms.length };
});
