// A small client for the Centrifuge client protocol: JSON over one WebSocket.
//
// It keeps the connection and the rooms alive by itself: the caller says which rooms it wants, and the client joins
// them again after every reconnect. It asks for no history: what was published while it was away is not seen.
// The official SDKs (centrifuge-js and its siblings) do more; this one shows how little a page needs.

/** Limits and delays, in milliseconds. */
const CALL_TIMEOUT = 5_000;
const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 30_000;
/** Each delay is spread by ± 20 %, so that the clients of a restarted server do not return at the same instant. */
const JITTER = 0.2;
/** A connection that held this long was a good one: the next loss starts at the first delay again. */
const STABLE_AFTER = 10_000;
/** How late a ping may be before the server counts as gone. */
const PING_GRACE = 10_000;

/** Codes of errors that arise in this client. Codes from 100 on are the server's. */
const TIMEOUT = 1;
const CONNECTION_LOST = 2;

/** The server answers this when a join that had timed out here was done there after all. */
const ALREADY_SUBSCRIBED = 105;
/** The server's unsubscribe codes from here on ask the client to join again; lower ones are final. */
const RESUBSCRIBE_FROM = 2500;

const SILENT = 'the server fell silent';

/** An error answered by the server, or one of this client's own. `temporary` says that trying again may help. */
export class ClientError extends Error {
  constructor(code, message, temporary = false) {
    super(message);
    this.name = 'ClientError';
    this.code = code;
    this.temporary = temporary;
  }
}

/**
 * @typedef {object} Status
 * @property {'connecting' | 'connected' | 'disconnected'} state
 * @property {string} reason why the last connection ended; may be empty, and is while connected
 * @property {number} code the close code or the code of the refused connect, or 0
 * @property {?number} retryAt when the next attempt is due (milliseconds since 1970); null when none is planned
 */

/**
 * Events, each a CustomEvent:
 * - `status`: detail is a {@link Status}
 * - `room`: `{ room, state, error }`, state `joining`, `joined` or `refused`; a refused room is forgotten
 * - `publication`: `{ room, data, info, time }`; `info` names the publishing client, null for the server API;
 *   `time` in milliseconds since 1970, null when the server does not say
 */
export class Client extends EventTarget {
  #url;
  #socket = null;
  /** @type {Status} */
  #status = { state: 'disconnected', reason: '', code: 0, retryAt: null };
  #attempt = 0;
  #retryTimer;
  #stableTimer;
  #silenceTimer;
  /** From the connect reply: how long the server may be silent (0: for ever), and whether it wants pongs. */
  #silenceLimit = 0;
  #pong = false;
  #lastId = 0;
  /** Commands without a reply yet, by id. */
  #calls = new Map();
  /** Rooms that the caller wants, by name. */
  #rooms = new Map();

  /** @param {string | URL} url http(s) or ws(s); by default the gateway that served this module */
  constructor(url = new URL('connection/websocket', import.meta.url)) {
    super();
    this.#url = new URL(url);
    this.#url.protocol = /^(https|wss):$/.test(this.#url.protocol) ? 'wss:' : 'ws:';
    globalThis.addEventListener('online', () => {
      if (this.#status.retryAt !== null) this.connect();
    });
  }

  /** @returns {Status} */
  get status() {
    return this.#status;
  }

  /** Connects, or goes on at once when an attempt is planned for later. Does nothing while connected. */
  connect() {
    if (this.#status.state !== 'disconnected') return;
    clearTimeout(this.#retryTimer);
    this.#setStatus({ ...this.#status, state: 'connecting', retryAt: null });
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    // A socket that was given up may still fire: only the present one counts.
    const whenCurrent = (handle) => (event) => {
      if (socket === this.#socket) handle(event);
    };
    socket.onopen = whenCurrent(() => this.#greet(socket));
    socket.onmessage = whenCurrent(({ data }) => this.#receive(data));
    socket.onclose = whenCurrent(({ code, reason }) => this.#lose(code, reason, isTerminal(code)));
    this.#expectWithin(CALL_TIMEOUT, 'no answer from the server');
  }

  /** Ends the connection and every plan to reconnect. Rooms are remembered for the next `connect`. */
  disconnect() {
    if (this.#status.state === 'disconnected' && this.#status.retryAt === null) return;
    this.#lose(0, 'disconnected by the page', true);
  }

  /**
   * Joins a room, and joins it again whenever the connection returns.
   * Settles with the first outcome. A rejection with a temporary error leaves the room wanted: joining goes on.
   * @param {string} room
   * @returns {Promise<void>}
   */
  subscribe(room) {
    let entry = this.#rooms.get(room);
    if (entry?.state === 'joined') return Promise.resolve();
    if (!entry) {
      entry = { name: room, state: 'joining', attempt: 0, timer: undefined, waiters: [] };
      this.#rooms.set(room, entry);
      this.#emit('room', { room, state: 'joining', error: null });
      if (this.#status.state === 'connected') this.#join(entry);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(timedOut('subscribe')), CALL_TIMEOUT);
      entry.waiters.push((error) => {
        clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /**
   * Leaves a room. Publications that are still under way are dropped from now on, whatever the server answers.
   * @param {string} room
   * @returns {Promise<void>}
   */
  async unsubscribe(room) {
    const entry = this.#rooms.get(room);
    if (!entry) return;
    this.#forget(entry, new ClientError(CONNECTION_LOST, 'left the room'));
    if (this.#status.state === 'connected') await this.#call('unsubscribe', { channel: room });
  }

  /**
   * Publishes any JSON value. While a connection is to come it waits for it, at most until the time limit.
   * After a rejection with a temporary error the publication may have happened all the same.
   * @param {string} room
   * @param {unknown} data
   * @returns {Promise<void>}
   */
  async publish(room, data) {
    await this.#call('publish', { channel: room, data });
  }

  /** The first command of every connection. */
  async #greet(socket) {
    try {
      const { ping = 0, pong = false } = await this.#call('connect', { name: 'natter-page' }, true);
      if (socket !== this.#socket) return;
      this.#silenceLimit = ping > 0 ? ping * 1000 + PING_GRACE : 0;
      this.#pong = pong;
    } catch (error) {
      if (socket === this.#socket) this.#lose(error.code, error.message, !error.temporary);
      return;
    }
    this.#expectWithin(this.#silenceLimit, SILENT);
    this.#stableTimer = setTimeout(() => (this.#attempt = 0), STABLE_AFTER);
    this.#setStatus({ state: 'connected', reason: '', code: 0, retryAt: null });
    // Joins go first: a publication that waited for the connection is then seen by its own author too.
    for (const entry of this.#rooms.values()) this.#join(entry);
    for (const call of this.#calls.values()) if (!call.sent) this.#send(call);
  }

  async #join(entry) {
    clearTimeout(entry.timer);
    const socket = this.#socket;
    let error = null;
    try {
      await this.#call('subscribe', { channel: entry.name });
    } catch (caught) {
      if (caught.code !== ALREADY_SUBSCRIBED) error = caught;
    }
    // Left meanwhile, or the connection went away: then the next connection joins.
    if (this.#rooms.get(entry.name) !== entry || socket !== this.#socket) return;
    if (error?.temporary) this.#joinLater(entry, error);
    else if (error) this.#refuse(entry, error);
    else this.#joined(entry);
  }

  #joined(entry) {
    entry.state = 'joined';
    entry.attempt = 0;
    settle(entry, null);
    this.#emit('room', { room: entry.name, state: 'joined', error: null });
  }

  #joinLater(entry, error) {
    entry.state = 'joining';
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#join(entry), delayOf(entry.attempt++));
    settle(entry, error);
    this.#emit('room', { room: entry.name, state: 'joining', error });
  }

  #refuse(entry, error) {
    this.#forget(entry, error);
    this.#emit('room', { room: entry.name, state: 'refused', error });
  }

  #forget(entry, error) {
    clearTimeout(entry.timer);
    this.#rooms.delete(entry.name);
    settle(entry, error);
  }

  /** Sends a command and waits for its reply. Until there is a connection the command waits, unless it is to go `now`. */
  #call(method, request, now = false) {
    if (this.#status.state === 'disconnected' && this.#status.retryAt === null) {
      return Promise.reject(new ClientError(CONNECTION_LOST, 'not connected', true));
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(timedOut(method));
      }, CALL_TIMEOUT);
      const call = { command: { id, [method]: request }, method, resolve, reject, timer, sent: false };
      this.#calls.set(id, call);
      if (now || this.#status.state === 'connected') this.#send(call);
    });
  }

  #send(call) {
    call.sent = true;
    this.#socket.send(JSON.stringify(call.command));
  }

  /** One frame holds one or more replies, one a line. */
  #receive(frame) {
    // Until the connect reply, the time limit of the whole greeting stands.
    if (this.#status.state === 'connected') this.#expectWithin(this.#silenceLimit, SILENT);
    let replies;
    try {
      replies = frame.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
    } catch {
      this.#lose(0, 'the server sent what is not JSON', false);
      return;
    }
    const socket = this.#socket;
    for (const reply of replies) {
      if (socket !== this.#socket) return;
      if (reply.id) this.#settleCall(reply);
      else if (reply.push) this.#handlePush(reply.push);
      else if (this.#pong) socket.send('{}');
    }
  }

  #settleCall(reply) {
    const call = this.#calls.get(reply.id);
    if (!call) return; // answered after its time limit
    this.#calls.delete(reply.id);
    clearTimeout(call.timer);
    const { error } = reply;
    if (error) call.reject(new ClientError(error.code, error.message, error.temporary === true));
    else call.resolve(reply[call.method] ?? {});
  }

  #handlePush({ channel, pub, unsubscribe }) {
    const entry = this.#rooms.get(channel);
    if (!entry) return;
    if (pub) {
      this.#emit('publication', { room: channel, data: pub.data, info: pub.info ?? null, time: pub.time ?? null });
    } else if (unsubscribe) {
      const { code, reason } = unsubscribe;
      const temporary = code >= RESUBSCRIBE_FROM;
      const error = new ClientError(code, reason || 'unsubscribed by the server', temporary);
      if (temporary) this.#joinLater(entry, error);
      else this.#refuse(entry, error);
    }
  }

  /** Arms the one timer that gives a silent connection up; a limit of 0 only disarms it. */
  #expectWithin(limit, reason) {
    clearTimeout(this.#silenceTimer);
    if (limit > 0) this.#silenceTimer = setTimeout(() => this.#lose(0, reason, false), limit);
  }

  /** Gives the connection up and, unless the end is terminal, plans the next one. */
  #lose(code, reason, terminal) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    for (const timer of [this.#retryTimer, this.#stableTimer, this.#silenceTimer]) clearTimeout(timer);
    this.#silenceLimit = 0;
    let retryAt = null;
    if (!terminal) {
      const delay = delayOf(this.#attempt++);
      retryAt = Date.now() + delay;
      this.#retryTimer = setTimeout(() => this.connect(), delay);
    }
    this.#setStatus({ state: 'disconnected', reason, code, retryAt });
    for (const entry of this.#rooms.values()) {
      clearTimeout(entry.timer);
      entry.state = 'joining';
      this.#emit('room', { room: entry.name, state: 'joining', error: null });
    }
    this.#failCalls(reason, terminal);
  }

  /** What was sent has no known outcome; what was not sent waits on, unless no connection is to come. */
  #failCalls(reason, terminal) {
    for (const [id, call] of this.#calls) {
      if (!call.sent && !terminal) continue;
      this.#calls.delete(id);
      clearTimeout(call.timer);
      call.reject(new ClientError(CONNECTION_LOST, reason || 'connection lost', true));
    }
  }

  #setStatus(status) {
    this.#status = Object.freeze(status);
    this.#emit('status', status);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Close codes by which a server forbids to come back. */
function isTerminal(code) {
  return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
}

/** 1, 2, 4, … 30 s, each ± 20 %. */
function delayOf(attempt) {
  const spread = 1 + JITTER * (2 * Math.random() - 1);
  return Math.min(FIRST_DELAY * 2 ** attempt, LONGEST_DELAY) * spread;
}

function timedOut(method) {
  return new ClientError(TIMEOUT, `no answer to ${method} within ${CALL_TIMEOUT / 1000} s`, true);
}

function settle(entry, error) {
  for (const waiter of entry.waiters.splice(0)) waiter(error);
}
