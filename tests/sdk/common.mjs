// What the SDK scripts share: clients of several gateways, JSON lines out, words in.

import readline from 'node:readline';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

/** The WebSocket addresses of the gateways under test. */
export function gateways() {
  const urls = (process.env.NATTER_URLS ?? '').split(',').filter(Boolean);
  if (urls.length === 0) throw new Error('NATTER_URLS must hold at least one WebSocket address');
  return urls;
}

/** A whole number from the environment. */
export function setting(name, fallback) {
  const value = Number(process.env[name] ?? fallback);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} must be a whole number above 0`);
  return value;
}

export const print = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Waits until the test says this word on stdin. */
export async function word(expected) {
  const { value, done } = await lines.next();
  if (done || value.trim() !== expected) throw new Error(`expected "${expected}" on stdin, got ${done ? 'its end' : value}`);
}

/**
 * Connects a client, subscribes it to the room and waits for both.
 * `endings` collects every loss of the connection or of the subscription after that.
 */
export async function member(url, room, onPublication, websocket = WebSocket) {
  const client = new Centrifuge(url, { websocket });
  const subscription = client.newSubscription(room);
  const endings = [];
  subscription.on('publication', onPublication);
  client.connect();
  subscription.subscribe();
  await Promise.all([client.ready(15_000), subscription.ready(15_000)]);
  for (const event of ['connecting', 'disconnected']) {
    client.on(event, ({ code, reason }) => endings.push({ of: 'connection', event, code, reason }));
  }
  for (const event of ['subscribing', 'unsubscribed']) {
    subscription.on(event, ({ code, reason }) => endings.push({ of: 'subscription', event, code, reason }));
  }
  return { url, client, subscription, endings };
}

/** Resolves when `condition` holds, checked after each call of the returned `changed`. */
export function until(condition, limit, what) {
  let changed;
  const reached = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not within ${limit / 1000} s: ${what()}`)), limit);
    changed = () => {
      if (!condition()) return;
      clearTimeout(timer);
      resolve();
    };
  });
  reached.catch(() => {}); // may fail before somebody awaits it
  return { reached, changed };
}

/** Runs a script to its exit code: 0 when its summary says ok. */
export function run(main) {
  main().then(
    (summary) => {
      print('summary', summary);
      process.exit(summary.ok ? 0 : 1);
    },
    (error) => {
      print('failed', { reason: error.message ?? String(error) });
      process.exit(1);
    },
  );
}
