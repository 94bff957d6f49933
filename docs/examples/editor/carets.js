// Where the others are. An ephemeral room: who is away needs no old carets.

import * as Y from 'yjs';

const PAUSE = 80; // ms between two messages
const REPEAT = 5000; // ms; newcomers learn of carets that rest
const GONE = 12_000; // ms without a word
const COLOURS = ['#b3342c', '#0f6b5f', '#6b4fb3', '#a35a00', '#1f6fb2', '#a83279'];
const ANIMALS = ['Badger', 'Heron', 'Marten', 'Otter', 'Plover', 'Stoat', 'Vole', 'Wren'];

const words = new TextDecoder();
const bytes = new TextEncoder();

export function shareCarets(client, room, doc, area) {
  const text = doc.getText();
  const me = { id: doc.clientID, name: ANIMALS[doc.clientID % ANIMALS.length], colour: COLOURS[doc.clientID % COLOURS.length] };
  const others = new Map();
  const subscription = client.newSubscription(room);
  let timer;

  const say = () => {
    clearTimeout(timer);
    timer = setTimeout(say, REPEAT);
    if (subscription.state !== 'subscribed') return;
    const at = Y.createRelativePositionFromTypeIndex(text, area.selectionEnd);
    subscription.publish(bytes.encode(JSON.stringify({ ...me, at }))).catch(() => {}); // the next one will do
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(say, PAUSE);
  };
  const show = () => {
    for (const [id, { heard }] of others) if (Date.now() - heard > GONE) others.delete(id);
    drawCarets([...others.values()], doc, text.toString());
    listWriters([me, ...others.values()]);
  };

  subscription.on('publication', ({ data }) => {
    const caret = JSON.parse(words.decode(data));
    if (caret.id === me.id) return;
    if (!others.has(caret.id)) soon();
    others.set(caret.id, { ...caret, heard: Date.now() });
    show();
  });
  subscription.on('subscribed', soon);
  document.addEventListener('selectionchange', soon);
  area.addEventListener('scroll', () => { document.getElementById('carets').scrollTop = area.scrollTop; });
  doc.on('update', show);
  setInterval(show, REPEAT);
  subscription.subscribe();
  show();
}

/** Writes the text, in which nothing can be seen, with a mark where each caret stands. */
function drawCarets(carets, doc, text) {
  const places = carets.map((caret) => {
    const position = Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(caret.at), doc);
    return { ...caret, index: position?.index ?? 0 };
  }).sort((a, b) => a.index - b.index);
  const layer = document.getElementById('carets');
  layer.replaceChildren();
  let from = 0;
  for (const { index, name, colour } of places) {
    const mark = document.createElement('span');
    mark.className = 'caret';
    mark.dataset.name = name;
    mark.style.setProperty('--writer', colour);
    layer.append(text.slice(from, index), mark);
    from = index;
  }
  layer.append(text.slice(from));
  layer.scrollTop = document.getElementById('text').scrollTop;
}

function listWriters(writers) {
  document.getElementById('writers').replaceChildren(...writers.map(({ name, colour }, index) => {
    const item = document.createElement('li');
    item.textContent = index === 0 ? `${name} (you)` : name;
    item.style.setProperty('--writer', colour);
    return item;
  }));
}
