// The chat page: rooms, a name, messages, the state of the connection.
//
// A message is the payload `{ "name", "text", "id" }`. The id makes it appear exactly once: the author's own entry is
// shown dimmed until the publication with its id comes back from the room, and a second try carries the same id.
// Whatever else is published in a room is shown as text or JSON. Nothing received is ever parsed as HTML.

import { Client } from './natter.js';

const KEPT_MESSAGES = 500; // a room; older ones are dropped
const LONGEST_TEXT = 20_000; // characters shown of one message
const GROUP_WITHIN = 5 * 60_000; // ms between messages of one author that stand under one heading
const ECHO_WITHIN = 5_000; // ms until a message that was accepted must have come back
const NEAR_END = 48; // px from the end that still count as reading the newest message
const HUES = 8; // avatar colours in chat.css

const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const narrow = matchMedia('(max-width: 47.99rem)');

const client = new Client();
/** Rooms by name: `{ name, state, error, log, outbox, unread, draft }`. `outbox` stands below `log` on the page. */
const rooms = new Map();
let current; // the room on the page
let entries = new Map(); // message → its element, for the current room
let messages = new WeakMap(); // element → its message
let reading = true; // at the end of the log, so that new messages scroll into view
let missed = 0; // messages below the fold

/** Storage may be switched off in the browser; the page works without it. */
const stored = (storage, key) => {
  try { return globalThis[storage].getItem(key); } catch { return null; }
};
const store = (storage, key, value) => {
  try { globalThis[storage].setItem(key, value); } catch { /* kept for this visit only */ }
};

function element(tag, className = '', text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(label, className, action) {
  const made = element('button', className, label);
  made.type = 'button';
  made.addEventListener('click', action);
  return made;
}

const announce = (text) => { $('announcer').textContent = text; };

/** Random hex digits; crypto.randomUUID is missing where the page is served without TLS. */
function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// --- name ------------------------------------------------------------------------------------------------------------

// A chosen name is for the whole browser; a guest's is for one tab, so that two tabs can tell each other apart.
let myName = stored('sessionStorage', 'name') ?? stored('localStorage', 'name');
if (!myName) {
  myName = `guest-${randomHex(2)}`;
  store('sessionStorage', 'name', myName);
}

function paintAvatar(avatar, name) {
  const words = name.split(/[\s\-_.]+/u).filter(Boolean);
  const initials = (words.length > 1 ? [words[0], words.at(-1)] : words).map((word) => [...word][0]).join('');
  let hash = 0;
  for (const char of name) hash = (Math.imul(hash, 31) + char.codePointAt(0)) >>> 0;
  avatar.className = `avatar hue-${hash % HUES}`;
  avatar.textContent = initials.toUpperCase() || '?';
}

function showName() {
  $('my-name').textContent = $('ask-name-is').textContent = myName;
  paintAvatar($('my-avatar'), myName);
  $('ask-name').hidden = stored('localStorage', 'name') !== null || !myName.startsWith('guest-');
}

function askName() {
  closeDrawer();
  $('name').value = myName;
  $('name-dialog').showModal();
  $('name').select();
}

$('rename').addEventListener('click', askName);
$('ask-name-button').addEventListener('click', askName);
$('name-cancel').addEventListener('click', () => $('name-dialog').close());
$('name-dialog').addEventListener('close', focusComposer);
$('name-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = $('name').value.trim();
  if (!name) return;
  myName = name;
  store('localStorage', 'name', name);
  store('sessionStorage', 'name', name);
  showName();
  $('name-dialog').close();
});

// --- rooms -----------------------------------------------------------------------------------------------------------

const linkOf = (name) => `#${encodeURIComponent(name)}`;

function roomInAddress() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return location.hash.slice(1); }
}

function addRoom(name) {
  const room = { name, state: 'joining', error: null, log: [], outbox: [], unread: 0, draft: '' };
  rooms.set(name, room);
  join(room);
  rememberRooms();
  return room;
}

function join(room) {
  room.state = 'joining';
  room.error = null;
  client.subscribe(room.name).catch(() => { /* told by the `room` event */ });
}

function leave(room) {
  client.unsubscribe(room.name).catch(() => { /* the room is forgotten here either way */ });
  rooms.delete(room.name);
  rememberRooms();
  if (room === current) location.hash = linkOf(rooms.keys().next().value ?? 'lobby');
  showRooms();
  focusComposer();
  announce(`Left ${room.name}`);
}

const rememberRooms = () => store('localStorage', 'rooms', JSON.stringify([...rooms.keys()]));

function rememberedRooms() {
  try {
    const names = JSON.parse(stored('localStorage', 'rooms'));
    return Array.isArray(names) ? names.filter((name) => typeof name === 'string' && name !== '') : [];
  } catch {
    return [];
  }
}

function showRooms() {
  if (!current) return; // still starting
  const focused = document.activeElement?.closest?.('#rooms a')?.dataset.room;
  $('rooms').replaceChildren(...[...rooms.values()].map(roomEntry));
  if (focused) document.querySelector(`#rooms a[data-room="${CSS.escape(focused)}"]`)?.focus();
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  $('menu-dot').hidden = ![...rooms.values()].some((room) => room !== current && room.unread > 0);
  document.title = `${unread > 0 ? `(${unread}) ` : ''}${current.name} · Natter`;
}

function roomEntry(room) {
  const item = element('li', room.state);
  const link = element('a', '', room.name);
  link.href = linkOf(room.name);
  link.dir = 'auto';
  link.dataset.room = room.name;
  if (room === current) link.setAttribute('aria-current', 'page');
  if (room.state === 'refused') link.append(element('span', 'refusal', 'refused'));
  if (room !== current && room.unread > 0) {
    link.classList.add('unread');
    link.append(element('span', 'dot'), element('span', 'hidden', ` ${room.unread} unread`));
  }
  item.append(link);
  if (rooms.size > 1) {
    const leaving = button('×', 'leave', () => leave(room));
    leaving.setAttribute('aria-label', `Leave ${room.name}`);
    item.append(leaving);
  }
  return item;
}

/** The address says which room is on the page, so that a link shares it. */
function followAddress() {
  const name = roomInAddress() || current?.name || rooms.keys().next().value || 'lobby';
  if (linkOf(name) !== location.hash) history.replaceState(null, '', linkOf(name));
  const room = rooms.get(name) ?? addRoom(name);
  if (room === current) return;
  if (current) current.draft = $('message').value;
  current = room;
  room.unread = 0;
  closeDrawer();
  showRoom();
  showRooms();
  showConnection();
  focusComposer();
}

$('add-room').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = $('new-room').value.trim();
  if (!name) return;
  $('new-room').value = '';
  location.hash = linkOf(name);
});

// --- messages --------------------------------------------------------------------------------------------------------

/** What to show of any publication. Who wrote it is what the payload claims: this page has no accounts. */
function read({ data, info, time }) {
  const isObject = typeof data === 'object' && data !== null;
  const isChat = isObject && typeof data.text === 'string';
  const claimed = isObject && typeof data.name === 'string' ? data.name.trim().slice(0, 40) : '';
  const plain = isChat || typeof data === 'string';
  const text = isChat ? data.text : plain ? data : printed(data);
  return {
    id: isChat && typeof data.id === 'string' ? data.id : null,
    author: claimed || info?.user || (info ? 'Unnamed' : 'Server'),
    text: text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text,
    plain,
    time: time ?? Date.now(),
    own: false,
    state: 'sent',
    trouble: '',
  };
}

/** JSON as text. Indenting a long or deep value would multiply its size. */
function printed(data) {
  try {
    const compact = JSON.stringify(data);
    return compact.length > 2_000 ? compact : JSON.stringify(data, null, 2);
  } catch {
    return 'JSON nested too deeply to be shown';
  }
}

function receive(room, message) {
  const sent = message.id !== null && room.outbox.find(({ id }) => id === message.id);
  if (sent) {
    room.outbox.splice(room.outbox.indexOf(sent), 1);
    Object.assign(sent, { state: 'sent', time: message.time });
    clearTimeout(sent.timer);
    message = sent;
  } else if (room.log.some((known) => known.id !== null && known.id === message.id && known.text === message.text)) {
    return; // a second try of what had arrived the first time
  }
  room.log.push(message);
  const dropped = room.log.length > KEPT_MESSAGES ? room.log.shift() : null;
  if (room === current) showReceived(message, dropped);
  if (!message.own && (room !== current || document.hidden)) {
    room.unread += 1;
    showRooms();
  }
}

function send(text) {
  const id = randomHex(12);
  const message = { id, author: myName, text, plain: true, time: Date.now(), own: true, state: 'pending', trouble: '' };
  current.outbox.push(message);
  append(message);
  scrollToEnd();
  transmit(current, message);
}

async function transmit(room, message) {
  Object.assign(message, { state: 'pending', trouble: '' });
  refresh(message);
  try {
    await client.publish(room.name, { name: message.author, text: message.text, id: message.id });
    if (message.state !== 'pending') return;
    message.timer = setTimeout(() => fail(message, 'it did not come back from the room'), ECHO_WITHIN);
  } catch (error) {
    // The publication itself may have come back although its reply did not.
    if (message.state === 'pending') fail(message, describe(error));
  }
}

function fail(message, trouble) {
  Object.assign(message, { state: 'failed', trouble });
  refresh(message);
  announce(`Message not sent: ${trouble}`);
}

const describe = (error) => (error.code >= 100 ? `${error.message} (${error.code})` : error.message);

// --- the log ---------------------------------------------------------------------------------------------------------

function entryOf(message) {
  const item = element('li', 'message');
  item.dataset.id = message.id ?? '';
  const day = element('p', 'day');
  day.append(element('span', '', dayName(message.time)));
  const avatar = element('span');
  paintAvatar(avatar, message.author);
  avatar.setAttribute('aria-hidden', 'true');
  const author = element('strong', 'author', message.own ? 'You' : message.author);
  author.dir = 'auto';
  const time = element('time');
  const head = element('p', 'head');
  head.append(author, ' ', time);
  const text = element(message.plain ? 'p' : 'pre', 'text', message.text);
  text.dir = message.plain ? 'auto' : 'ltr';
  if (!message.plain) {
    text.tabIndex = 0; // wide JSON scrolls sideways, by keyboard too
    text.setAttribute('aria-label', 'JSON');
  }
  const body = element('div', 'body');
  body.append(head, text);
  item.append(day, avatar, body);
  entries.set(message, item);
  messages.set(item, message);
  refresh(message);
  return item;
}

/** Brings an entry up to date with the state of its message. */
function refresh(message) {
  const item = entries.get(message);
  if (!item) return;
  item.classList.toggle('own', message.own);
  item.classList.toggle('pending', message.state === 'pending');
  item.classList.toggle('failed', message.state === 'failed');
  item.querySelector('.text').title = exact.format(message.time);
  const time = item.querySelector('time');
  time.dateTime = new Date(message.time).toISOString();
  time.textContent = message.state === 'pending' ? 'sending' : clock.format(message.time);
  item.querySelector('.trouble')?.remove();
  if (message.state !== 'failed') return;
  const room = current;
  const trouble = element('p', 'trouble', `Not sent: ${message.trouble}. `);
  trouble.append(button('Try again', 'plain', () => {
    transmit(room, message);
    focusComposer();
  }));
  item.querySelector('.body').append(trouble);
  if (reading) scrollToEnd();
}

/** Whether an entry opens a day, or goes on under the heading of the one before, follows from its neighbour. */
function relink(item) {
  if (!item) return;
  const message = messages.get(item);
  const before = messages.get(item.previousElementSibling);
  const sameDay = before !== undefined && dayName(before.time) === dayName(message.time);
  const sameAuthor = before?.author === message.author && before.own === message.own;
  item.classList.toggle('new-day', !sameDay);
  item.classList.toggle('grouped', sameDay && sameAuthor && message.time - before.time < GROUP_WITHIN);
}

function dayName(time) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (time >= midnight) return 'Today';
  return time >= midnight - 86_400_000 ? 'Yesterday' : calendar.format(time);
}

function append(message) {
  const item = entryOf(message);
  $('log').append(item);
  relink(item);
  $('empty').hidden = true;
}

function showReceived(message, dropped) {
  if (dropped) {
    entries.get(dropped)?.remove();
    entries.delete(dropped);
    relink($('log').firstElementChild);
  }
  const item = entries.get(message) ?? entryOf(message);
  refresh(message);
  // What is still on its way stays below everything that has arrived.
  const below = entries.get(current.outbox[0]) ?? null;
  if (!item.isConnected || (below && item.compareDocumentPosition(below) & Node.DOCUMENT_POSITION_PRECEDING)) {
    $('log').insertBefore(item, below);
  }
  relink(item);
  for (const waiting of current.outbox) relink(entries.get(waiting));
  $('empty').hidden = true;
  if (reading) {
    scrollToEnd();
  } else if (!message.own) {
    missed += 1;
    showPill();
  }
}

/** A fresh live region on every change of room: only what arrives later is read out. */
function showRoom() {
  const log = element('ol');
  log.id = 'log';
  log.setAttribute('role', 'log');
  log.setAttribute('aria-live', 'polite');
  log.setAttribute('aria-label', `Messages in ${current.name}`);
  entries = new Map();
  messages = new WeakMap();
  $('log').replaceWith(log);
  for (const message of [...current.log, ...current.outbox]) append(message);
  $('empty').hidden = log.childElementCount > 0;
  $('title').textContent = current.name;
  $('second-tab').href = linkOf(current.name);
  $('message').value = current.draft;
  fitComposer();
  scrollToEnd();
}

function scrollToEnd() {
  $('scroller').scrollTop = $('scroller').scrollHeight;
  reading = true;
  missed = 0;
  showPill();
}

function showPill() {
  $('pill').hidden = missed === 0;
  $('pill').textContent = `${missed} new ${missed === 1 ? 'message' : 'messages'} ↓`;
}

$('pill').addEventListener('click', () => {
  scrollToEnd();
  focusComposer();
});
$('scroller').addEventListener('scroll', () => {
  const { scrollHeight, scrollTop, clientHeight } = $('scroller');
  reading = scrollHeight - scrollTop - clientHeight < NEAR_END;
  if (reading && missed > 0) scrollToEnd();
}, { passive: true });
// A phone's keyboard, a growing draft or a turned screen must not hide the newest message.
new ResizeObserver(() => { if (reading) scrollToEnd(); }).observe($('scroller'));
document.addEventListener('visibilitychange', () => {
  if (document.hidden || current.unread === 0) return;
  current.unread = 0;
  showRooms();
});

$('copy-link').hidden = !navigator.clipboard;
$('copy-link').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    $('copy-link').textContent = 'Copied';
    setTimeout(() => { $('copy-link').textContent = 'Copy the link'; }, 2_000);
  } catch {
    $('copy-link').textContent = 'The browser refused';
  }
});

// --- composer --------------------------------------------------------------------------------------------------------

function fitComposer() {
  const field = $('message');
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight}px`;
}

/** On a touch screen this would open the keyboard unasked. */
function focusComposer() {
  if (!matchMedia('(hover: none) and (pointer: coarse)').matches) $('message').focus();
}

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('message').value.trim();
  if (!text) return;
  $('message').value = '';
  fitComposer();
  send(text);
  $('message').focus();
});
$('message').addEventListener('input', fitComposer);
$('message').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $('composer').requestSubmit();
});
$('skip').addEventListener('click', () => $('message').focus());

// --- drawer (narrow screens) -----------------------------------------------------------------------------------------

function openDrawer() {
  document.body.classList.add('drawer-open');
  $('open-drawer').setAttribute('aria-expanded', 'true');
  $('main').inert = true;
  document.querySelector('#rooms a[aria-current]')?.focus();
}

function closeDrawer() {
  if (!document.body.classList.contains('drawer-open')) return;
  document.body.classList.remove('drawer-open');
  $('open-drawer').setAttribute('aria-expanded', 'false');
  $('main').inert = false;
  $('open-drawer').focus();
}

$('open-drawer').addEventListener('click', openDrawer);
$('shade').addEventListener('click', closeDrawer);
$('rooms').addEventListener('click', ({ target }) => {
  if (target.closest('a[aria-current]')) closeDrawer();
});
document.addEventListener('keydown', ({ key }) => { if (key === 'Escape') closeDrawer(); });
narrow.addEventListener('change', closeDrawer);

// iOS lays its keyboard over the page: only the visual viewport knows the height that is left.
globalThis.visualViewport?.addEventListener('resize', () => {
  document.documentElement.style.setProperty('--visible', `${visualViewport.height}px`);
});

// --- connection ------------------------------------------------------------------------------------------------------

let countdown;
let hadConnection = false;

function showConnection() {
  const { state, retryAt } = client.status;
  const waiting = state === 'disconnected' && retryAt !== null;
  const shown = waiting || (state === 'connecting' && hadConnection) ? 'reconnecting' : state;
  const label = { connected: 'Connected', connecting: 'Connecting', reconnecting: 'Reconnecting', disconnected: 'Disconnected' }[shown];
  $('status').dataset.state = shown;
  $('status').textContent = label;
  clearInterval(countdown);
  if (waiting) countdown = setInterval(showNotice, 250);
  showNotice();
}

/** What is wrong, when something is, and the one thing to do about it. */
function noticeNow() {
  const { state, reason, code, retryAt } = client.status;
  const why = reason && `: ${reason}${code > 0 ? ` (${code})` : ''}`;
  const lost = hadConnection ? `Connection lost${why}` : `No connection${why}`;
  if (state === 'disconnected' && retryAt !== null) {
    const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
    return { text: `${lost}. Reconnecting in ${seconds} s.`, action: 'Now', run: () => client.connect() };
  }
  if (state === 'disconnected') {
    return { text: `The server ended the connection${why}.`, action: 'Connect again', run: () => client.connect() };
  }
  if (state === 'connecting') return reason || code > 0 ? { text: `${lost}. Reconnecting…` } : null;
  const room = current;
  if (room.state === 'refused') {
    return { text: `This room cannot be joined: ${describe(room.error)}.`, action: 'Try again', run: () => join(room) };
  }
  return room.error ? { text: `Joining takes longer: ${describe(room.error)}. Trying again.` } : null;
}

function showNotice() {
  if (!current) return; // still starting
  const notice = noticeNow();
  $('notice').hidden = notice === null;
  if (notice === null) return;
  $('notice-text').textContent = notice.text;
  $('notice-action').hidden = !notice.action;
  $('notice-action').textContent = notice.action ?? '';
  $('notice-action').onclick = notice.run ?? null;
}

client.addEventListener('status', ({ detail: { state } }) => {
  showConnection();
  if (state === 'connected') announce(hadConnection ? 'Connected again' : 'Connected');
  if (state === 'disconnected') announce('Connection lost');
  hadConnection ||= state === 'connected';
});
client.addEventListener('room', ({ detail }) => {
  const room = rooms.get(detail.room);
  if (!room) return;
  room.state = detail.state;
  room.error = detail.error;
  showRooms();
  showNotice();
});
client.addEventListener('publication', ({ detail }) => {
  const room = rooms.get(detail.room);
  if (room) receive(room, read(detail));
});

// --- start -----------------------------------------------------------------------------------------------------------

showName();
rememberedRooms().forEach(addRoom);
addEventListener('hashchange', followAddress);
followAddress();
client.connect();
