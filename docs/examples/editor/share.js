// One Yjs document in one durable room of bytes. Every message is an update of Yjs; they may come twice and in any order,
// and everybody who has all of them has the same document. So the room needs no server of its own:
//
// - What is changed here is published, one message at a time; what changes meanwhile is merged into the next one. Away
//   from the gateway changes collect, and go out as one message.
// - Who comes back gets what was missed from the gateway (`force_recovery`), unless it was too much or the room has lost
//   it: then, as a newcomer does, the history is read page by page from its beginning.
// - A room keeps a limited number of messages. So a writer says the whole document after each 200 messages, and also when the
//   room may have lost some: it is an update like any other, and what was before it may be forgotten.

import * as Y from 'yjs';

const PAGE = 50; // messages
const WHOLE_EACH = 200; // messages; far fewer than the room keeps (gateway.yaml)
const RETRY = 1000; // ms

/** Calls `changed(state, messages)` with `connecting`, `loading` or `live` and the number of messages so far. */
export function shareDocument(client, room, doc, changed) {
  const subscription = client.newSubscription(room);
  const publisher = new Publisher(subscription, doc);
  let messages = 0;
  let isNew = true;
  let isLoaded = false;

  const report = () => changed(subscription.state !== 'subscribed' ? 'connecting' : isLoaded ? 'live' : 'loading', messages);
  const take = ({ data }) => {
    messages += 1;
    publisher.heard += 1;
    Y.applyUpdate(doc, data, subscription);
  };

  subscription.on('publication', (publication) => {
    take(publication);
    report();
  });
  subscription.on('subscribed', async ({ recovered, streamPosition }) => {
    if (!isLoaded || !recovered) {
      isLoaded = false;
      report();
      isLoaded = await read(subscription, streamPosition.epoch, take);
      if (isLoaded && !isNew) publisher.add(Y.encodeStateAsUpdate(doc));
      if (isLoaded) isNew = false;
    }
    report();
  });
  subscription.on('subscribing', report);
  doc.on('update', (update, origin) => { if (origin !== subscription) publisher.add(update); });
  subscription.subscribe();
}

/** Takes every message that is kept, the oldest first; false when the connection went away meanwhile. */
async function read(subscription, epoch, take) {
  try {
    for (let offset = 0; ;) {
      const { publications } = await subscription.history({ limit: PAGE, since: { offset, epoch } });
      publications.forEach(take);
      if (publications.length < PAGE) return true;
      offset = publications.at(-1).offset;
    }
  } catch {
    return false; // `subscribed` comes again
  }
}

class Publisher {
  heard = 0; // messages since the whole document was said
  #waiting = [];
  #isBusy = false;

  constructor(subscription, doc) {
    this.subscription = subscription;
    this.doc = doc;
  }

  add(update) {
    this.#waiting.push(update);
    if (!this.#isBusy) this.#publish();
  }

  async #publish() {
    this.#isBusy = true;
    while (this.#waiting.length > 0) {
      const update = Y.mergeUpdates(this.#waiting.splice(0));
      try {
        await this.subscription.ready();
        await this.subscription.publish(update);
      } catch {
        this.#waiting.unshift(update); // what did arrive may arrive again
        await new Promise((resolve) => { setTimeout(resolve, RETRY); });
      }
      if (this.heard >= WHOLE_EACH) {
        this.heard = 0;
        this.#waiting.push(Y.encodeStateAsUpdate(this.doc));
      }
    }
    this.#isBusy = false;
  }
}
