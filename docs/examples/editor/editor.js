// The page: a text area bound to a shared text, and the carets of the others.

import * as Y from 'yjs';
import { Centrifuge } from 'centrifuge/build/protobuf';
import { shareCarets } from './carets.js';
import { shareDocument } from './share.js';

const parameters = new URLSearchParams(location.search);
const gateway = parameters.get('gateway') ?? 'ws://127.0.0.1:8000/connection/websocket';
const name = parameters.get('text') ?? 'draft';

const area = document.getElementById('text');
const status = document.getElementById('status');

const doc = new Y.Doc();
const text = doc.getText();
const client = new Centrifuge(gateway, { minReconnectDelay: 100, maxReconnectDelay: 3000 });

/** What was typed, as one deletion and one insertion: all between what is the same at both ends. */
function take(typed) {
  const before = text.toString();
  const shorter = Math.min(before.length, typed.length);
  let head = 0;
  while (head < shorter && before[head] === typed[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === typed.at(-1 - tail)) tail += 1;
  doc.transact(() => {
    text.delete(head, before.length - head - tail);
    text.insert(head, typed.slice(head, typed.length - tail));
  }, 'typed');
}

/** Shows the text. The selection stays where it was in the text, not at the same number of characters. */
function show(selection) {
  area.value = text.toString();
  const [start, end] = selection.map((position) => Y.createAbsolutePositionFromRelativePosition(position, doc)?.index ?? 0);
  area.setSelectionRange(start, end);
}

const selection = () => [area.selectionStart, area.selectionEnd].map((index) => Y.createRelativePositionFromTypeIndex(text, index));

let kept = selection();
area.addEventListener('input', () => take(area.value));
document.addEventListener('selectionchange', () => { kept = selection(); });
doc.on('update', (_, origin) => { if (origin !== 'typed') show(kept); });

shareDocument(client, `text:${name}`, doc, (state, messages) => {
  status.dataset.state = state;
  status.textContent = state === 'live' ? `Live, ${messages} messages` : { loading: 'Reading', connecting: 'Connecting' }[state];
  area.disabled &&= state !== 'live'; // once read, the text can be written in while the connection is away
});
shareCarets(client, `carets:${name}`, doc, area);
client.connect();
