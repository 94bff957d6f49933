// The chat page: rooms, a name, messages, the state of the connection.
//
// A message is the payload `{ "name", "text", "id" }`. The id makes it appear exactly once: the author's own entry is
// shown dimmed until the publication with its id comes back from the room, and a second try carries the same id.

import { $, announce, button, element, paintAvatar, randomHex, store, stored } from './dom.js';
import { closeDrawer } from './drawer.js';
import { Log, read } from './log.js';
import { Client } from './natter.js';

const KEPT_MESSAGES = 500; // a room; older ones are dropped
const ECHO_WITHIN = 5_000; // ms until a message that was accepted must have come back

const client = new Client();
const log = new Log((room, message) => {
  transmit(room, message);
  focusComposer();
});
/** Rooms by name: `{ name, state, error, log, outbox, unread, draft }`. `outbox` stands below `log` on the page. */
const rooms = new Map();
let current; // the room on the page

// --- name ------------------------------------------------------------------------------------------------------------

// A chosen name is for the whole browser; a guest's is for one tab, so that two tabs can tell each other apart.
let myName = stored('sessionStorage', 'name') ?? stored('localStorage', 'name');
if (!myName) {
  myName = `guest-${randomHex(2)}`;
  store('sessionStorage', 'name', myName);
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
  const link = element('a');
  link.append(element('span', 'name', room.name));
  link.title = room.name;
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
  document.querySelector('#rooms a[aria-current]')?.scrollIntoView({ block: 'nearest' });
  showConnection();
  focusComposer();
}

function showRoom() {
  log.show(current);
  $('title').textContent = current.name;
  $('second-tab').href = linkOf(current.name);
  $('message').value = current.draft;
  fitComposer();
}

$('add-room').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = $('new-room').value.trim();
  if (!name) return;
  $('new-room').value = '';
  location.hash = linkOf(name);
});

// --- messages --------------------------------------------------------------------------------------------------------

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
  if (room === current) log.add(message, dropped);
  if (!message.own && (room !== current || document.hidden)) {
    room.unread += 1;
    showRooms();
  }
}

function send(text) {
  const id = randomHex(12);
  const message = { id, author: myName, text, plain: true, time: Date.now(), own: true, state: 'pending', trouble: '' };
  current.outbox.push(message);
  log.addOwn(message);
  transmit(current, message);
}

async function transmit(room, message) {
  Object.assign(message, { state: 'pending', trouble: '' });
  log.refresh(message);
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
  log.refresh(message);
  announce(`Message not sent: ${trouble}`);
}

/** Why a room was refused, in words for people; the server's own are for developers. */
const REFUSALS = {
  102: 'the server has no such namespace',
  103: 'you are not allowed to',
  106: 'you are in as many rooms as the server allows',
  107: 'the server does not take this name',
};

const describe = (error) => (error.code >= 100 ? `${error.message} (${error.code})` : error.message);

$('pill').addEventListener('click', () => {
  log.scrollToEnd();
  focusComposer();
});
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
    const { code } = room.error;
    const why = code in REFUSALS ? `${REFUSALS[code]} (${code})` : describe(room.error);
    return { text: `This room cannot be joined: ${why}.`, action: 'Try again', run: () => join(room) };
  }
  return room.error ? { text: `Joining takes longer: ${describe(room.error)}. Trying again.` } : null;
}

function showNotice() {
  if (!current) return; // still starting
  const notice = noticeNow();
  $('main').classList.toggle('refused', current.state === 'refused');
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
