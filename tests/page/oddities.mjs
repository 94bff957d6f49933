// What a page may be sent and asked for: messages of the server API, markup, very long words, text from right to left,
// JSON, rooms with odd names, rooms that are refused, one room more than a connection may be in.
//
// env   see browser.mjs, and NATTER_API_KEY, a key of the server API
// The gateway has the namespace `news`, to which clients cannot publish.

import assert from 'node:assert/strict';
import { DESKTOP, NATTER_URL, PHONE, fits, joined, picture, run, shown } from './browser.mjs';

const WORD = 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft'.repeat(6);
const MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
const ARABIC = 'مرحبا بالعالم، كيف حالك اليوم؟ (Natter 0.1)';
const ROOM_LIMIT = 128;

async function publish(channel, data) {
  const response = await fetch(`${NATTER_URL}/api/publish`, {
    method: 'POST',
    headers: { 'X-API-Key': process.env.NATTER_API_KEY },
    body: JSON.stringify({ channel, data }),
  });
  assert.deepEqual(await response.json(), { result: {} }, `publish to ${channel}`);
}

async function goTo(tab, room) {
  await tab.page.evaluate((name) => { location.hash = encodeURIComponent(name); }, room);
  await tab.page.waitForFunction((name) => document.getElementById('title').textContent === name, room);
}

async function sees({ page }, text) {
  await page.waitForFunction(
    (wanted) => [...document.querySelectorAll('#log > li .text')].some((item) => item.textContent === wanted),
    text,
  ).catch(() => assert.fail(`the page does not show ${JSON.stringify(text)}`));
}

async function notice({ page }, pattern) {
  await page.waitForFunction(
    (source) => new RegExp(source).test(document.getElementById('notice-text').textContent)
      && !document.getElementById('notice').hidden,
    pattern.source,
  ).catch(async () => assert.fail(`no notice like ${pattern}, but "${await page.textContent('#notice-text')}"`));
}

async function messages(tab) {
  const sent = [
    [{ name: 'Backend', text: 'Published by the server API.' }, 'Backend', 'Published by the server API.'],
    ['a plain string', 'Server', 'a plain string'],
    [{ name: MARKUP, text: MARKUP }, MARKUP.slice(0, 40), MARKUP],
    [{ name: 'Long', text: WORD }, 'Long', WORD],
    [{ name: 'ليلى', text: ARABIC }, 'ليلى', ARABIC],
    [{ name: '', text: '👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301' }, 'Server', '👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301'],
    [{ temperature: 21.5, wide: 'x'.repeat(120) }, 'Server', JSON.stringify({ temperature: 21.5, wide: 'x'.repeat(120) }, null, 2)],
    [null, 'Server', 'null'],
    [{ name: 'Huge', text: 'y'.repeat(30_000) }, 'Huge', `${'y'.repeat(20_000)}…`],
    [{ name: 'End', text: 'the last one' }, 'End', 'the last one'],
  ];
  for (const [data] of sent) await publish('lobby', data);
  await sees(tab, 'the last one');
  assert.deepEqual(
    (await shown(tab)).map(({ author, text }) => [author, text]),
    sent.map(([, author, text]) => [author, text]),
  );
  assert.equal(await tab.page.title(), 'lobby · Natter', 'markup did nothing');
  const directions = await tab.page.$$eval('#log .text', (items) => items.map((item) => getComputedStyle(item).direction));
  assert.equal(directions[4], 'rtl', 'Arabic is set from right to left');
}

async function pictures(tab, name) {
  const { page } = tab;
  await page.evaluate(() => { document.getElementById('scroller').scrollTop = 0; });
  await picture(tab, `${name}-desktop`);
  await fits(tab);
  await page.setViewportSize(PHONE);
  await page.evaluate(() => { document.getElementById('scroller').scrollTop = 0; });
  await picture(tab, `${name}-phone`);
  await fits(tab);
  await page.setViewportSize(DESKTOP);
}

async function rooms(tab) {
  const { page } = tab;
  for (const room of ['a b', '100%', '&?/<b>', '~!@$^*()', 'w'.repeat(255)]) {
    await goTo(tab, room);
    await joined(tab);
    await publish(room, `to ${room}`);
    await sees(tab, `to ${room}`);
  }
  await pictures(tab, 'rooms');
  await page.setViewportSize(PHONE);
  await page.click('#open-drawer');
  await picture(tab, 'drawer-phone');
  await page.keyboard.press('Escape');
  await page.setViewportSize(DESKTOP);

  await goTo(tab, 'nowhere:room');
  await notice(tab, /cannot be joined: the server has no such namespace \(102\)/);
  await picture(tab, 'refused-desktop');
  await goTo(tab, 'größer');
  await notice(tab, /cannot be joined: the server does not take this name \(107\)/);
  await goTo(tab, 'news:today');
  await joined(tab);
  await page.fill('#message', 'may I?');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.failed .trouble');
  assert.match(await page.textContent('.failed .trouble'), /^Not sent: permission denied \(103\)\. Try again$/);
  await picture(tab, 'not-sent-desktop');
}

/** A second visit with more rooms than a connection may be in. */
async function tooMany(tab) {
  const { page } = tab;
  await page.evaluate((limit) => {
    const names = Array.from({ length: limit }, (_, index) => `room-${index}`);
    localStorage.setItem('rooms', JSON.stringify(names));
    history.replaceState(null, '', '#room-0'); // no visit yet: it would remember the rooms of now
  }, ROOM_LIMIT);
  await page.reload();
  await page.waitForFunction((limit) => document.querySelectorAll('#rooms li.joined').length === limit, ROOM_LIMIT);
  await goTo(tab, 'one-more');
  await notice(tab, /cannot be joined: you are in as many rooms as the server allows \(106\)/);
  await picture(tab, 'too-many-desktop');
  await page.click('#rooms li:has(a[data-room="room-0"])', { position: { x: 5, y: 5 } });
  await page.click('#rooms li:has(a[data-room="room-0"]) .leave');
  await goTo(tab, 'one-more');
  await page.click('#notice-action');
  await joined(tab);
  await publish('one-more', 'there was room');
  await sees(tab, 'there was room');
}

await run(['Ada'], async ([tab]) => {
  await picture(tab, 'empty-desktop');
  await messages(tab);
  await pictures(tab, 'messages');
  await rooms(tab);
  await tooMany(tab);
});
