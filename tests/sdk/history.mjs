// What the official client makes of our answers about history: positions, pages, recovery that succeeds and that does not.
//
// env     NATTER_URLS  WebSocket address of a gateway
// stdout  JSON lines, event: `case` for each that held, then `summary`
// exit    0 when every case held

import assert from 'node:assert/strict';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { gateways, print, run, until } from './common.mjs';

const LIMIT = 10_000;
const LOST = { wasRecovering: true, recovered: false };
const RECOVERED = { wasRecovering: true, recovered: true };
const NEW = { wasRecovering: false, recovered: false };

const [url] = gateways();
const writer = connect();
let markers = 0;

function connect() {
  const client = new Centrifuge(url, { websocket: WebSocket });
  client.connect();
  return client;
}

/** A subscription of a client of its own, and what it said so far. */
function reader(room, options = {}) {
  const client = connect();
  const subscription = client.newSubscription(room, { minResubscribeDelay: 10, maxResubscribeDelay: 50, ...options });
  const heard = [];
  const joins = [];
  subscription.on('publication', ({ data }) => heard.push(data));
  subscription.on('subscribed', ({ wasRecovering, recovered, streamPosition }) => {
    joins.push({ wasRecovering, recovered });
    each.position = streamPosition;
  });
  const each = { client, subscription, heard, joins };
  return each;
}

async function joined({ subscription }) {
  subscription.subscribe();
  await subscription.ready(LIMIT);
}

async function say(room, ...messages) {
  for (const message of messages) await writer.publish(room, message);
}

/** Says one message more and gives it: when that is heard, everything before it was. */
async function hears({ subscription, heard }, room, expected) {
  const live = `live ${(markers += 1)}`;
  const progress = until(() => heard.includes(live), LIMIT, () => `${live} in ${room}, after ${heard}`);
  subscription.on('publication', progress.changed);
  await say(room, live);
  await progress.reached;
  subscription.off('publication', progress.changed);
  assert.deepEqual(heard.splice(0), [...expected, live]);
  return live;
}

const cases = {
  async 'comes back after a disconnect'() {
    const room = 'recovery:disconnect';
    const member = reader(room);
    await joined(member);
    await hears(member, room, []);
    member.client.disconnect();
    await say(room, 1, 2, 3);
    member.client.connect();
    await member.subscription.ready(LIMIT);
    await hears(member, room, [1, 2, 3]);
    assert.deepEqual(member.joins, [NEW, RECOVERED]);
  },

  async 'comes back after an unsubscribe'() {
    const room = 'recovery:unsubscribe';
    const member = reader(room);
    await joined(member);
    await hears(member, room, []);
    member.subscription.unsubscribe();
    await say(room, 1, 2);
    await joined(member);
    await hears(member, room, [1, 2]);
    assert.deepEqual(member.joins, [NEW, RECOVERED]);
  },

  async 'is told that it missed more than is kept'() {
    const room = 'smallhistory:lost';
    const member = reader(room);
    await joined(member);
    await hears(member, room, []);
    member.subscription.unsubscribe();
    await say(room, 1, 2, 3, 4);
    await joined(member);
    await hears(member, room, []);
    assert.deepEqual(member.joins, [NEW, LOST]);
  },

  async 'loads its state, and again only when it cannot recover'() {
    const room = 'smallhistory:state';
    await say(room, 'in the state');
    const states = [];
    const getState = async () => {
      const { offset, epoch } = await writer.history(room, { limit: 0 });
      if (states.push(offset) === 1) await say(room, 'meanwhile');
      return { offset, epoch };
    };
    const member = reader(room, { getState });
    await joined(member);
    await hears(member, room, ['meanwhile']);
    assert.equal(states.length, 1);

    member.subscription.unsubscribe();
    await say(room, 1);
    await joined(member);
    await hears(member, room, [1]);
    assert.equal(states.length, 1);

    member.client.disconnect();
    await say(room, 2, 3, 4, 5);
    member.client.connect();
    await member.subscription.ready(LIMIT);
    await hears(member, room, []);
    assert.equal(states.length, 2);
    assert.ok(member.joins.every(({ recovered }) => recovered), 'it never joins a room without what it missed');
  },

  async 'gets the newest of a cache'() {
    const room = 'cache:newest';
    const member = reader(room);
    await joined(member);
    await hears(member, room, []);
    member.subscription.unsubscribe();
    await say(room, 1, 2, 3);
    await joined(member);
    const newest = await hears(member, room, [3]);
    assert.deepEqual(member.joins, [NEW, RECOVERED]);
    const stranger = reader(room, { since: { offset: 1, epoch: 'another' } });
    await joined(stranger);
    await hears(stranger, room, [newest]);
    assert.deepEqual(stranger.joins, [RECOVERED]);
  },

  async 'reads pages'() {
    const room = 'recovery:pages';
    const member = reader(room);
    await joined(member);
    assert.ok(member.position.epoch);
    const data = ({ publications }) => publications.map((publication) => publication.data);
    await say(room, 1, 2, 3, 4, 5);
    const read = (options) => member.subscription.history(options);

    const position = await read({ limit: 0 });
    assert.deepEqual([data(position), position.epoch], [[], member.position.epoch]);
    const all = await read({ limit: -1 });
    assert.deepEqual(data(all), [1, 2, 3, 4, 5]);
    assert.equal(all.offset, all.publications.at(-1).offset);
    assert.deepEqual(data(await read({ limit: -1, reverse: true })), [5, 4, 3, 2, 1]);
    const since = (number) => ({ offset: all.publications[number - 1].offset, epoch: all.epoch });
    assert.deepEqual(data(await read({ limit: 2, since: since(2) })), [3, 4]);
    assert.deepEqual(data(await read({ limit: 2, since: since(4), reverse: true })), [3, 2]);
    assert.deepEqual(data(await read({ limit: 2, since: since(5) })), []);
    await assert.rejects(read({ limit: 2, since: { ...since(2), epoch: 'another' } }), { code: 112 });
    await assert.rejects(read({ limit: 2, since: { ...since(2), offset: 0 }, reverse: true }), { code: 107 });
  },
};

run(async () => {
  const problems = [];
  for (const [name, check] of Object.entries(cases)) {
    try {
      await check();
      print('case', { name });
    } catch (error) {
      problems.push(`${name}: ${error.message ?? JSON.stringify(error)}`);
    }
  }
  return { ok: problems.length === 0, cases: Object.keys(cases).length, problems };
});
