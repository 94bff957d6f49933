// A page without an SDK: what every browser has listens to a room, and comes back by itself when its stream ends.
//
// env   see browser.mjs, and NATTER_API_KEY, a key of the server API

import assert from 'node:assert/strict';
import { NATTER_URL, run } from './browser.mjs';

async function call(method, request) {
  const response = await fetch(`${NATTER_URL}/api/${method}`, {
    method: 'POST', headers: { 'X-API-Key': process.env.NATTER_API_KEY }, body: JSON.stringify(request),
  });
  assert.deepEqual(await response.json(), { result: {} }, method);
}

async function heard({ page }, count) {
  await page.waitForFunction((least) => window.heard.length >= least, count, { timeout: 20_000 });
  return page.evaluate(() => window.heard);
}

await run(['Ada'], async ([tab]) => {
  await tab.page.evaluate(() => {
    const asked = encodeURIComponent(JSON.stringify({ subs: { news: {} } }));
    window.heard = [];
    const source = new EventSource(`/connection/uni_sse?cf_connect=${asked}`);
    source.onmessage = ({ data }) => window.heard.push(JSON.parse(data));
  });
  const [{ connect }] = await heard(tab, 1);
  assert.deepEqual(connect.subs, { news: {} });
  await call('publish', { channel: 'news', data: 'zwölf 🦊' });
  assert.deepEqual((await heard(tab, 2))[1], { channel: 'news', pub: { data: 'zwölf 🦊' } });

  await call('disconnect', { client: connect.client, disconnect: { code: 4000, reason: 'go' } });
  const [, , end, again] = await heard(tab, 4);
  assert.deepEqual(end.disconnect, { code: 4000, reason: 'go', reconnect: true });
  assert.notEqual(again.connect.client, connect.client);
  await call('publish', { channel: 'news', data: 2 });
  assert.equal((await heard(tab, 5))[4].pub.data, 2);
});
