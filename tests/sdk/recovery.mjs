// centrifuge-js clients drop their connections while a room is spoken in, and come back by themselves.
//
// env     NATTER_URLS     WebSocket addresses of the gateways, separated by commas
//         NATTER_CLIENTS  members on each gateway, default 6; one more on the first publishes
//         NATTER_MESSAGES default 300
//         NATTER_DROPS    drops of each member, default 5
//         NATTER_LIMIT    seconds for everything to arrive, default 30
// stdout  JSON lines, event: `subscribed`, then `summary`
// exit    0 when the summary says ok: every member has each message once and in order, every return was a recovery that
//         succeeded, the offsets that all members saw are the same and increase, and history agrees
//
// Half of the members are in a room where recovery is forced (`recovery:`), half ask for it (`log:`).

import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { gateways, print, run, setting, until } from './common.mjs';

async function recovery() {
  const urls = gateways();
  const perGateway = setting('NATTER_CLIENTS', 6);
  const total = setting('NATTER_MESSAGES', 300);
  const drops = setting('NATTER_DROPS', 5);
  const rooms = ['recovery:room', 'log:room'];
  const problems = [];
  const members = [];
  const isDone = () => members.every(({ log }) => log.at(-1)?.data === total - 1);
  const shown = () => members.map(({ log }) => log.length).join(' ');
  const finished = until(isDone, setting('NATTER_LIMIT', 30) * 1000, shown);

  for (const url of urls) {
    for (let index = 0; index < perGateway; index += 1) {
      members.push(await member(url, rooms[index % rooms.length], problems, finished.changed));
    }
  }
  print('subscribed', { members: members.length });

  const writer = new Centrifuge(urls[0], { websocket: WebSocket });
  writer.connect();
  await writer.ready(15_000);
  for (let number = 0; number < total; number += 1) {
    await Promise.all(rooms.map((room) => writer.publish(room, number)));
    for (const [index, each] of members.entries()) {
      if ((number + index * 7) % Math.floor(total / drops) === 0) each.drop();
    }
  }
  await finished.reached.catch((error) => problems.push(error.message));
  const histories = await Promise.all(rooms.map((room) => members.find((each) => each.room === room).history()));
  return judge(members, rooms, histories, total, drops, problems);
}

async function member(url, room, problems, changed) {
  const client = new Centrifuge(url, { websocket: WebSocket, minReconnectDelay: 10, maxReconnectDelay: 100 });
  const subscription = client.newSubscription(room, { recoverable: true });
  const log = [];
  const each = { room, log, returns: 0 };
  subscription.on('publication', ({ data, offset }) => {
    log.push({ data, offset });
    changed();
  });
  subscription.on('subscribed', ({ wasRecovering, recovered }) => {
    if (log.length === 0 && !wasRecovering) return;
    each.returns += 1;
    if (!wasRecovering || !recovered) problems.push(`${room}: back with wasRecovering ${wasRecovering}, recovered ${recovered}`);
  });
  subscription.subscribe();
  client.connect();
  await subscription.ready(15_000);
  // The socket goes without a word; the client finds out and reconnects.
  each.drop = () => client._transport?._transport?.terminate?.();
  each.history = () => subscription.history({ limit: -1 });
  return each;
}

function judge(members, rooms, histories, total, drops, problems) {
  for (const [index, { room, log, returns }] of members.entries()) {
    const numbers = log.map(({ data }) => data);
    if (numbers.length !== total || numbers.some((number, at) => number !== at)) {
      problems.push(`member ${index} of ${room} has ${numbers.length} messages, not 0 to ${total - 1} in order`);
    }
    if (log.some(({ offset }, at) => at > 0 && offset <= log[at - 1].offset)) problems.push(`member ${index}: offsets do not increase`);
    const first = members.find((other) => other.room === room);
    if (log.some(({ offset }, at) => offset !== first.log[at]?.offset)) problems.push(`member ${index}: other offsets than its neighbours`);
    if (returns < drops - 1) problems.push(`member ${index} came back ${returns} times only`);
  }
  for (const [at, { publications, offset }] of histories.entries()) {
    const { log } = members.find(({ room }) => room === rooms[at]);
    if (offset !== log.at(-1)?.offset) problems.push(`history of ${rooms[at]} ends at ${offset}`);
    const kept = publications.map((publication) => publication.offset).join();
    const heard = log.slice(-publications.length).map((each) => each.offset).join();
    if (kept !== heard) problems.push(`history of ${rooms[at]} is not what was heard`);
  }
  const returns = members.reduce((sum, each) => sum + each.returns, 0);
  return { ok: problems.length === 0, members: members.length, messages: total, returns, problems: problems.slice(0, 20) };
}

run(recovery);
