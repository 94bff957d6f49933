// The messages of one room: what a publication says, and how it stands in the log.
//
// A message is the payload `{ "name", "text", "id" }`. Whatever else is published in a room is shown as text or JSON.

import { $, button, element, paintAvatar } from './dom.js';

const LONGEST_TEXT = 20_000; // characters shown of one message
const INDENTED_JSON = 2_000; // characters up to which JSON is indented: it would multiply the size of a deep value
const GROUP_WITHIN = 5 * 60_000; // ms between messages of one author that stand under one heading
const NEAR_END = 48; // px from the end that still count as reading the newest message

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** What to show of any publication. Who wrote it is what the payload claims: this page has no accounts. */
export function read({ data, info, time }) {
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

function printed(data) {
  try {
    const compact = JSON.stringify(data);
    return compact.length > INDENTED_JSON ? compact : JSON.stringify(data, null, 2);
  } catch {
    return 'JSON nested too deeply to be shown';
  }
}

function dayName(time) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (time >= midnight) return 'Today';
  return time >= midnight - 86_400_000 ? 'Yesterday' : calendar.format(time);
}

/** The log on the page, for one room at a time. */
export class Log {
  #room;
  /** Message → its element. */
  #entries = new Map();
  /** Element → its message. */
  #messages = new WeakMap();
  /** At the end of the log, so that new messages scroll into view. */
  #reading = true;
  /** Messages below the fold. */
  #missed = 0;
  #retry;

  /** @param {(room: object, message: object) => void} retry sends a message again that could not be sent */
  constructor(retry) {
    this.#retry = retry;
    const scroller = $('scroller');
    scroller.addEventListener('scroll', () => {
      this.#reading = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END;
      if (this.#reading && this.#missed > 0) this.scrollToEnd();
    }, { passive: true });
    // A phone's keyboard, a growing draft or a turned screen must not hide the newest message.
    new ResizeObserver(() => { if (this.#reading) this.scrollToEnd(); }).observe(scroller);
  }

  /** Shows a room's `log` and, below it, its `outbox`. */
  show(room) {
    this.#room = room;
    this.#entries = new Map();
    this.#messages = new WeakMap();
    // A fresh live region: only what arrives later is read out.
    const list = element('ol');
    list.id = 'log';
    list.setAttribute('role', 'log');
    list.setAttribute('aria-live', 'polite');
    list.setAttribute('aria-label', `Messages in ${room.name}`);
    $('log').replaceWith(list);
    for (const message of [...room.log, ...room.outbox]) this.#append(message);
    $('empty').hidden = list.childElementCount > 0;
    this.scrollToEnd();
  }

  /** Adds a message that is on its way, last of all. */
  addOwn(message) {
    this.#append(message);
    this.scrollToEnd();
  }

  /** Puts a message that arrived below all that had arrived; `dropped` goes. */
  add(message, dropped) {
    if (dropped) {
      this.#entries.get(dropped)?.remove();
      this.#entries.delete(dropped);
      this.#relink($('log').firstElementChild);
    }
    const item = this.#entries.get(message) ?? this.#make(message);
    this.refresh(message);
    // What is still on its way stays below everything that has arrived.
    const below = this.#entries.get(this.#room.outbox[0]) ?? null;
    if (!item.isConnected || (below && item.compareDocumentPosition(below) & Node.DOCUMENT_POSITION_PRECEDING)) {
      $('log').insertBefore(item, below);
    }
    this.#relink(item);
    for (const waiting of this.#room.outbox) this.#relink(this.#entries.get(waiting));
    $('empty').hidden = true;
    if (this.#reading) {
      this.scrollToEnd();
    } else if (!message.own) {
      this.#missed += 1;
      this.#showPill();
    }
  }

  /** Brings an entry up to date with the state of its message; does nothing for messages of other rooms. */
  refresh(message) {
    const item = this.#entries.get(message);
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
    const room = this.#room;
    const trouble = element('p', 'trouble', `Not sent: ${message.trouble}. `);
    trouble.append(button('Try again', 'plain', () => this.#retry(room, message)));
    item.querySelector('.body').append(trouble);
    if (this.#reading) this.scrollToEnd();
  }

  scrollToEnd() {
    $('scroller').scrollTop = $('scroller').scrollHeight;
    this.#reading = true;
    this.#missed = 0;
    this.#showPill();
  }

  #showPill() {
    $('pill').hidden = this.#missed === 0;
    $('pill').textContent = `${this.#missed} new ${this.#missed === 1 ? 'message' : 'messages'} ↓`;
  }

  #append(message) {
    const item = this.#make(message);
    $('log').append(item);
    this.#relink(item);
    $('empty').hidden = true;
  }

  #make(message) {
    const item = element('li', 'message');
    item.dataset.id = message.id ?? '';
    const day = element('p', 'day');
    day.append(element('span', '', dayName(message.time)));
    const avatar = element('span');
    paintAvatar(avatar, message.author);
    avatar.setAttribute('aria-hidden', 'true');
    const author = element('strong', 'author', message.own ? 'You' : message.author);
    author.dir = 'auto';
    const head = element('p', 'head');
    head.append(author, ' ', element('time'));
    const text = element(message.plain ? 'p' : 'pre', 'text', message.text);
    text.dir = message.plain ? 'auto' : 'ltr';
    if (!message.plain) {
      text.tabIndex = 0; // wide JSON scrolls sideways, by keyboard too
      text.setAttribute('role', 'group');
      text.setAttribute('aria-label', 'JSON');
    }
    const body = element('div', 'body');
    body.append(head, text);
    item.append(day, avatar, body);
    this.#entries.set(message, item);
    this.#messages.set(item, message);
    this.refresh(message);
    return item;
  }

  /** Whether an entry opens a day, or goes on under the heading of the one before, follows from its neighbour. */
  #relink(item) {
    if (!item) return;
    const message = this.#messages.get(item);
    const before = this.#messages.get(item.previousElementSibling);
    const sameDay = before !== undefined && dayName(before.time) === dayName(message.time);
    const sameAuthor = before?.author === message.author && before.own === message.own;
    item.classList.toggle('new-day', !sameDay);
    item.classList.toggle('grouped', sameDay && sameAuthor && message.time - before.time < GROUP_WITHIN);
  }
}
