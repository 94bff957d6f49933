// A conversation between centrifuge-js clients on several gateways over one bus.
//
// env     NATTER_URLS       WebSocket addresses of the gateways, separated by commas
//         NATTER_ROOM       default "conversation"
//         NATTER_MESSAGES   in all, default 1000; published alternately on each gateway
//         NATTER_CLIENTS    members on each gateway, default 2; the first of each publishes
//         NATTER_LIMIT      seconds for the delivery of all, default 60
// stdout  JSON lines, event: `subscribed` → (stdin `go`) → `received` → (stdin `leave`) → `left` → `summary`
//         In the summary `samePlaces` says whether all members saw one total order; it is reported, not demanded:
//         NATS keeps the order of each gateway's messages, not one order among them. Demanded is each message once,
//         in its sender's order, and one order for all members of a gateway.
// exit    0 when the summary says ok

import { gateways, member, print, run, setting, until, word } from './common.mjs';

const IN_FLIGHT = 64; // publishes without a reply, so that order is put to the test

async function converse() {
  const urls = gateways();
  const room = process.env.NATTER_ROOM ?? 'conversation';
  const total = setting('NATTER_MESSAGES', 1000);
  const perGateway = setting('NATTER_CLIENTS', 2);
  const logs = [];
  // Each sender ends with one marker more: a message delivered twice shows up before it.
  const markers = (log) => log.filter(({ last }) => last).length;
  const missing = () => `${logs.map((log) => log.length)} of ${total + urls.length} messages`;
  const progress = until(() => logs.every((log) => markers(log) === urls.length), setting('NATTER_LIMIT', 60) * 1000, missing);

  const members = [];
  for (const url of urls) {
    for (let index = 0; index < perGateway; index += 1) {
      const log = [];
      logs.push(log);
      members.push(await member(url, room, ({ data }) => {
        log.push(data);
        if (data.last) progress.changed();
      }));
    }
  }
  print('subscribed', { members: members.length, room });
  await word('go');

  const started = performance.now();
  await publishAlternately(urls.map((_, index) => members[index * perGateway].client), room, total);
  await progress.reached.catch((error) => print('incomplete', { reason: error.message }));
  const milliseconds = Math.round(performance.now() - started);
  const endings = members.flatMap((each) => each.endings);
  print('received', { messages: logs.map((log) => log.length) });

  await word('leave');
  await Promise.all(members.map(leave));
  print('left');
  return { ...judge(logs, urls.length, perGateway, total, endings), members: members.length, messages: total, milliseconds };
}

async function publishAlternately(senders, room, total) {
  const sent = senders.map(() => 0);
  const waiting = [];
  for (let index = 0; index < total; index += 1) {
    const sender = index % senders.length;
    waiting.push(senders[sender].publish(room, { sender, number: sent[sender]++, text: `message ${index}` }));
    if (waiting.length >= IN_FLIGHT) await waiting.shift();
  }
  await Promise.all(waiting);
  await Promise.all(senders.map((client, sender) => client.publish(room, { sender, number: sent[sender], last: true })));
}

/** Commands are answered in order: the answer to a later one says that the unsubscribe was done. */
async function leave({ client, subscription }) {
  subscription.unsubscribe();
  await client.rpc('after-leaving', {}).catch(() => { /* 108: no backend behind it */ });
}

function judge(logs, senders, perGateway, total, endings) {
  const problems = [];
  for (const [member, log] of logs.entries()) {
    const next = Array.from({ length: senders }, () => 0);
    for (const { sender, number } of log) {
      if (number !== next[sender]) {
        problems.push(`member ${member}: sender ${sender}'s number ${number} where ${next[sender]} was due`);
        break;
      }
      next[sender] += 1;
    }
    if (log.length !== total + senders) problems.push(`member ${member}: ${log.length} of ${total + senders} messages`);
  }
  for (const ending of endings) problems.push(`${ending.of} ${ending.event}: ${ending.code} ${ending.reason}`);
  const places = logs.map((log) => log.map(({ sender, number }) => `${sender}:${number}`).join(' '));
  for (const [member, order] of places.entries()) {
    const first = member - (member % perGateway);
    if (order !== places[first]) problems.push(`members ${first} and ${member} of one gateway saw two orders`);
  }
  return { ok: problems.length === 0, samePlaces: places.every((order) => order === places[0]), problems };
}

run(converse);
