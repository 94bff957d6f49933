// centrifuge-js clients publish at a steady rate while the test kills and restarts the bus.
//
// env     NATTER_URLS     WebSocket addresses of the gateways, separated by commas
//         NATTER_ROOM     default "survive"
//         NATTER_CLIENTS  members on each gateway, default 2; the first of each publishes
//         NATTER_RATE     messages a second and gateway, default 20
//         NATTER_LIMIT    seconds for the last markers to arrive, default 10
// stdout  JSON lines, event: `subscribed`, `progress` every half second, → (stdin `stop`) → `summary`
// stdin   `stop` when the bus is back and every gateway says so: then one marker a gateway must reach every member
// exit    0 when the summary says ok: no connection was lost, every refused publish was refused with a temporary
//         error of the server, nothing came twice or out of order, and the markers arrived
//
// An ephemeral room may lose what was accepted while the bus went away: `lost` is reported, not demanded to be 0.

import { gateways, member, print, run, setting, until, word } from './common.mjs';

const SERVER_ERRORS_FROM = 100; // lower codes are the SDK's own, a timeout for example: then the server gave no answer

async function survive() {
  const urls = gateways();
  const room = process.env.NATTER_ROOM ?? 'survive';
  const perGateway = setting('NATTER_CLIENTS', 2);
  const pause = 1000 / setting('NATTER_RATE', 20);
  const limit = setting('NATTER_LIMIT', 10) * 1000;
  const tally = { sent: 0, accepted: 0, refused: {}, slowestAnswerMs: 0, problems: [] };
  const logs = [];
  let markers;

  const members = [];
  for (const url of urls) {
    for (let index = 0; index < perGateway; index += 1) {
      const log = [];
      logs.push(log);
      members.push(await member(url, room, ({ data }) => {
        log.push(data);
        if (data.last) markers?.changed();
      }));
    }
  }
  print('subscribed', { members: members.length, room });

  const senders = urls.map((_, index) => steadySender(members[index * perGateway].client, room, index, pause, tally));
  const reporter = setInterval(() => {
    print('progress', { sent: tally.sent, accepted: tally.accepted, refused: tally.refused, received: logs.map((log) => log.length) });
  }, 500);
  await word('stop');
  clearInterval(reporter);
  await Promise.all(senders.map((sender) => sender.stop()));

  const arrived = (log) => log.filter(({ last }) => last).length;
  markers = until(() => logs.every((log) => arrived(log) === urls.length), limit, () => `${logs.map(arrived)} of ${urls.length} markers`);
  await Promise.all(senders.map((sender) => sender.publish({ last: true })));
  await markers.reached.catch((error) => tally.problems.push(error.message));
  return judge(tally, logs, members);
}

function steadySender(client, room, sender, pause, tally) {
  let number = 0;
  const waiting = new Set();
  const publish = (fields = {}) => {
    const started = performance.now();
    tally.sent += 1;
    const answer = client.publish(room, { sender, number: number++, ...fields }).then(
      () => { tally.accepted += 1; },
      (error) => refused(error, fields, tally),
    ).finally(() => {
      tally.slowestAnswerMs = Math.max(tally.slowestAnswerMs, Math.round(performance.now() - started));
      waiting.delete(answer);
    });
    waiting.add(answer);
    return answer;
  };
  const timer = setInterval(publish, pause);
  const stop = () => {
    clearInterval(timer);
    return Promise.all(waiting);
  };
  return { publish, stop };
}

function refused({ code, message, temporary }, { last = false }, tally) {
  tally.refused[code] = (tally.refused[code] ?? 0) + 1;
  if (last) tally.problems.push(`the last marker was refused: ${code} ${message}`);
  else if (code < SERVER_ERRORS_FROM || !temporary) tally.problems.push(`publish refused: ${code} ${message}, temporary: ${temporary}`);
}

function judge(tally, logs, members) {
  const problems = [...tally.problems];
  for (const [index, log] of logs.entries()) {
    const highest = new Map();
    for (const { sender, number } of log) {
      if (number <= (highest.get(sender) ?? -1)) problems.push(`member ${index}: sender ${sender}'s number ${number} again or late`);
      highest.set(sender, Math.max(number, highest.get(sender) ?? -1));
    }
  }
  const endings = members.flatMap((each) => each.endings);
  const lostConnections = endings.filter(({ of }) => of === 'connection').length;
  if (lostConnections > 0) problems.push(`${lostConnections} connections were lost`);
  const received = logs.map((log) => log.length);
  return {
    ok: problems.length === 0,
    sent: tally.sent,
    accepted: tally.accepted,
    refused: tally.refused,
    received,
    lost: received.map((count) => tally.accepted - count),
    slowestAnswerMs: tally.slowestAnswerMs,
    lostConnections,
    endings: endings.slice(0, 20),
    problems: problems.slice(0, 20),
  };
}

run(survive);
