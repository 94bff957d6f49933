// centrifuge-js clients in one room, half of which take and send compressed messages.
//
// env     NATTER_URLS    WebSocket address of a gateway that compresses every message
// stdout  JSON lines: `summary`
// exit    0 when every member got every message once and in its sender's order, and compression was agreed with those
//         who offered it

import WebSocket from 'ws';
import { gateways, member, run, until } from './common.mjs';

const EACH = 100; // messages of each of two senders
const ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

class Plain extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
}

class Compressed extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: { threshold: 0 } });
    this.on('upgrade', (response) => answers.push(response.headers['sec-websocket-extensions'] ?? 'none'));
  }
}

const answers = [];

async function converse() {
  const [url] = gateways();
  const logs = [];
  const all = until(() => logs.every((log) => log.length >= 2 * EACH), 20_000, () => `${logs.map((log) => log.length)}`);
  const members = [];
  for (const socket of [Compressed, Plain, Compressed, Plain]) {
    const log = [];
    logs.push(log);
    members.push(await member(url, 'room', ({ data }) => {
      log.push(data);
      all.changed();
    }, socket));
  }
  for (let number = 0; number < EACH; number += 1) {
    const text = 'was gesagt wird, '.repeat(10 + (number % 100));
    for (const [sender, { subscription }] of members.slice(0, 2).entries()) {
      subscription.publish({ sender, number, text }).catch(() => {}); // a refusal shows as a missing message
    }
  }
  await all.reached;
  const isWhole = (log) =>
    log.length === 2 * EACH &&
    [0, 1].every((from) => log.filter(({ sender }) => sender === from).every(({ number }, index) => number === index));
  const endings = members.flatMap((each) => each.endings);
  const agreed = answers.length === 2 && answers.every((answer) => answer === ANSWER);
  return { ok: logs.every(isWhole) && endings.length === 0 && agreed, answers, endings };
}

run(converse);
