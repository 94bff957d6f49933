// centrifuge-js clients in a durable room while the test does things to the cluster that serves them; and a backend that
// publishes by REST with idempotency keys, and repeats until it has an answer.
//
// env     NATTER_URLS     the WebSocket address of the cluster
//         NATTER_HTTP     its HTTP address
//         NATTER_API_KEY  for publishing
//         NATTER_ROOM     a room of a namespace with history
//         NATTER_CLIENTS  members, default 20
//         NATTER_RATE     messages a second, default 20
//         NATTER_LIMIT    seconds for everything to arrive after `stop`, default 60
// stdout  JSON lines, event: `subscribed`, `progress` every half second, → (stdin `stop`) → `summary`
// exit    0 when the summary says ok: every message was acknowledged in the end, every member has each one once, their
//         offsets increase, and no return of a client found its history gone
//
// Cuts and returns are counted and timed for the test to judge.

import { randomUUID } from 'node:crypto';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { gateways, print, run, setting, until, word } from './common.mjs';

const REPEAT_AFTER = new Set([408, 429, 502, 503, 504]);
const PAUSE = 200; // ms before a repeat

async function cluster() {
  const [url] = gateways();
  const room = process.env.NATTER_ROOM;
  const limit = setting('NATTER_LIMIT', 60) * 1000;
  const tally = { cuts: [], returns: [], unrecovered: 0, problems: [] };
  let arrived;
  const members = await Promise.all(Array.from({ length: setting('NATTER_CLIENTS', 20) }, () => member(url, room, tally, () => arrived?.changed())));
  print('subscribed', { clients: members.length, room });

  const backend = publisher(room, 1000 / setting('NATTER_RATE', 20), tally);
  const reporter = setInterval(() => print('progress', progress(members, backend, tally)), 500);
  await word('stop');
  await Promise.race([backend.stop(), late(limit)]).catch((error) => tally.problems.push(error.message));
  const complete = () => members.every(({ numbers }) => numbers.size >= backend.acknowledged);
  arrived = until(complete, limit, () => `${members.map(({ numbers }) => numbers.size)} of ${backend.acknowledged} messages`);
  arrived.changed();
  await arrived.reached.catch((error) => tally.problems.push(error.message));
  clearInterval(reporter);
  return judge(members, backend, tally);
}

const late = (limit) => new Promise((_, reject) => {
  setTimeout(() => reject(new Error(`messages without an answer ${limit / 1000} s after the last was sent`)), limit).unref();
});

/** A member that remembers what it got and when it had to connect again. */
async function member(url, room, tally, changed) {
  const client = new Centrifuge(url, { websocket: WebSocket, minReconnectDelay: 50, maxReconnectDelay: 2000 });
  const subscription = client.newSubscription(room, { recoverable: true });
  const each = { numbers: new Set(), offset: 0, reconnects: 0 };
  subscription.on('publication', ({ data, offset }) => {
    if (each.numbers.has(data.number)) tally.problems.push(`message ${data.number} came twice`);
    if (offset <= each.offset) tally.problems.push(`offset ${offset} came after ${each.offset}`);
    each.numbers.add(data.number);
    each.offset = offset;
    changed();
  });
  subscription.on('subscribed', ({ wasRecovering, recovered }) => {
    if (wasRecovering && !recovered) tally.unrecovered += 1;
  });
  client.connect();
  subscription.subscribe();
  await Promise.all([client.ready(30_000), subscription.ready(30_000)]);
  client.on('connecting', () => {
    each.reconnects += 1;
    tally.cuts.push(Date.now());
  });
  client.on('connected', () => tally.returns.push(Date.now()));
  client.on('disconnected', ({ code, reason }) => tally.problems.push(`sent away for good: ${code} ${reason}`));
  return each;
}

/** Publishes numbers at a steady rate; each until it is acknowledged. */
function publisher(room, pause, tally) {
  const address = `${process.env.NATTER_HTTP}/v1/rooms/${encodeURIComponent(room)}/messages`;
  const waiting = new Set();
  const backend = { sent: 0, acknowledged: 0, repeats: 0, known: 0, slowestMs: 0 };
  const publish = async (number) => {
    const started = Date.now();
    const key = randomUUID();
    for (;;) {
      const status = await attempt(address, key, number);
      if (status === 200 || status === 201) {
        backend.acknowledged += 1;
        if (status === 200) backend.known += 1;
        backend.slowestMs = Math.max(backend.slowestMs, Date.now() - started);
        return;
      }
      if (status !== undefined && !REPEAT_AFTER.has(status)) {
        tally.problems.push(`a publication was refused with ${status}`);
        return;
      }
      backend.repeats += 1;
      await new Promise((resolve) => { setTimeout(resolve, PAUSE); });
    }
  };
  const timer = setInterval(() => {
    const answer = publish(backend.sent++).finally(() => waiting.delete(answer));
    waiting.add(answer);
  }, pause);
  backend.stop = () => {
    clearInterval(timer);
    return Promise.all(waiting);
  };
  return backend;
}

/** The status of an answer; nothing when there was none. */
async function attempt(address, key, number) {
  try {
    const answer = await fetch(address, {
      method: 'POST',
      headers: { 'X-API-Key': process.env.NATTER_API_KEY, 'Idempotency-Key': key },
      body: JSON.stringify({ data: { number } }),
      signal: AbortSignal.timeout(5000),
    });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return undefined;
  }
}

/** The most of these times within one second. */
function peak(times) {
  let most = 0;
  let from = 0;
  const ordered = times.toSorted((a, b) => a - b);
  for (const [index, time] of ordered.entries()) {
    while (ordered[from] <= time - 1000) from += 1;
    most = Math.max(most, index - from + 1);
  }
  return most;
}

function progress(members, backend, tally) {
  return {
    clients: members.length,
    sent: backend.sent,
    acknowledged: backend.acknowledged,
    received: Math.min(...members.map(({ numbers }) => numbers.size)),
    reconnects: tally.cuts.length,
    mostReconnects: Math.max(...members.map(({ reconnects }) => reconnects)),
    peakCuts: peak(tally.cuts),
    peakReturns: peak(tally.returns),
    problems: tally.problems.length,
  };
}

function judge(members, backend, tally) {
  const problems = [...tally.problems];
  if (backend.acknowledged !== backend.sent) problems.push(`${backend.acknowledged} of ${backend.sent} messages were acknowledged`);
  for (const [index, { numbers }] of members.entries()) {
    if (numbers.size !== backend.acknowledged) problems.push(`member ${index} has ${numbers.size} of ${backend.acknowledged} messages`);
  }
  if (tally.unrecovered > 0) problems.push(`${tally.unrecovered} returns found their history gone`);
  const { repeats, known, slowestMs } = backend;
  return {
    ok: problems.length === 0,
    ...progress(members, backend, tally),
    repeats,
    known,
    slowestMs,
    problems: problems.slice(0, 20),
  };
}

run(cluster);
