// Undoes deltas as centrifuge-js does when they arrive, by the codecs of both its builds. It has no public way to them.
//
// stdin   JSON lines: `origin`, `delta` and `target` in base64, and whether they are `json` text
// stdout  JSON lines, event: `wrong` for each delta that does not lead to its target → `summary`
// exit    0 when every one does

import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import readline from 'node:readline';
import { isDeepStrictEqual } from 'node:util';

const [json, binary] = [Centrifuge, ProtobufCentrifuge].map((Client) => new Client('ws://localhost')._codec);

/** What a member is given for a publication whose predecessor was `origin`. */
function received({ origin, delta, target, json: isJson }) {
  if (!isJson) return [binary.applyDeltaIfNeeded({ delta: true, data: delta }, origin).newData, new Uint8Array(target)];
  const text = new TextDecoder('utf-8', { fatal: true }).decode(delta); // a JSON client gets it as text
  return [json.applyDeltaIfNeeded({ delta: true, data: text }, origin).newData, JSON.parse(target.toString())];
}

let [count, wrong] = [0, 0];
for await (const line of readline.createInterface({ input: process.stdin })) {
  const pair = JSON.parse(line);
  for (const field of ['origin', 'delta', 'target']) pair[field] = Buffer.from(pair[field], 'base64');
  count += 1;
  try {
    const [data, expected] = received(pair);
    if (!isDeepStrictEqual(data, expected)) throw new Error('other data');
  } catch (error) {
    wrong += 1;
    console.log(JSON.stringify({ event: 'wrong', reason: error.message, line }));
  }
}
console.log(JSON.stringify({ event: 'summary', count, wrong }));
process.exit(wrong === 0 ? 0 : 1);
