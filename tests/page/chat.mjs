// Two browser tabs chat through the demo page, by keyboard alone, across a restart of the gateway.
//
// env   see browser.mjs
// stdout  one word a line: `connected`, `exchanged`, `ready-for-restart`, `reconnecting`, `reconnected`, `done`
// stdin   one line when the gateway is up again after `ready-for-restart`
// exit    0, or 1 with the reason on stderr and a screenshot of each tab

import assert from 'node:assert/strict';
import readline from 'node:readline';
import { DESKTOP, PHONE, fits, joined, picture, run, shown } from './browser.mjs';

const RESTART_LIMIT = 60_000; // ms for the gateway to go and come back

const say = (line) => console.log(line);
const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Runs in the page: a state that shows only for a moment must not be missed. */
function watchStatus() {
  const status = document.getElementById('status');
  globalThis.seenStates = [status.textContent];
  new MutationObserver(() => {
    if (globalThis.seenStates.at(-1) !== status.textContent) globalThis.seenStates.push(status.textContent);
  }).observe(status, { childList: true, characterData: true, subtree: true });
}

async function tabTo({ name, page }, selector) {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
  }
  assert.fail(`${name}: ${selector} is not reached by the Tab key`);
}

async function takeName(tab) {
  await tabTo(tab, '#rename');
  await tab.page.keyboard.press('Enter');
  await tab.page.waitForSelector('#name-dialog[open]');
  await tab.page.keyboard.type(tab.name); // the old name is selected
  await tab.page.keyboard.press('Enter');
  await tab.page.waitForFunction((name) => document.getElementById('my-name').textContent === name, tab.name);
}

async function useSkipLink(tab) {
  await tabTo(tab, '#skip');
  await tab.page.keyboard.press('Enter');
  assert.ok(await tab.page.evaluate(() => document.activeElement.id === 'message'), 'the skip link leads to the field');
}

async function write(tab, text) {
  for (const [index, line] of text.split('\n').entries()) {
    if (index > 0) await tab.page.keyboard.press('Shift+Enter');
    await tab.page.keyboard.type(line);
  }
  await tab.page.keyboard.press('Enter');
}

async function sees({ name, page }, text) {
  await page.waitForFunction(
    (wanted) => [...document.querySelectorAll('#log > li:not(.pending, .failed) .text')].some((p) => p.textContent === wanted),
    text,
  ).catch(() => assert.fail(`${name} does not see "${text}"`));
}

/** Each message once in each tab and on each wire, in one order, marked as own by its author alone. */
async function checkConversation(tabs, said) {
  const logs = await Promise.all(tabs.map(shown));
  for (const [index, tab] of tabs.entries()) {
    const log = logs[index];
    const expected = said.map(({ by, text }) => ({ text, author: by === tab ? 'You' : by.name, own: by === tab, settled: true }));
    assert.deepEqual(log.map(({ id: _, ...rest }) => rest), expected, `${tab.name}: the conversation`);
    assert.deepEqual(log.map(({ id }) => id), logs[0].map(({ id }) => id), `${tab.name}: the order of ids`);
    for (const { id, text } of log) assert.equal(tab.published.get(id), 1, `${tab.name}: deliveries of "${text}"`);
  }
}

async function speak(tabs, said, by, text) {
  await write(by, text);
  said.push({ by, text });
  for (const tab of tabs) await sees(tab, text);
}

async function takePictures(tab) {
  const { page } = tab;
  await picture(tab, 'desktop-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture(tab, 'desktop-dark');
  await page.setViewportSize(PHONE);
  await picture(tab, 'phone-dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await picture(tab, 'phone-light');
  await fits(tab);
  await page.setViewportSize(DESKTOP);
}

async function seesRestart({ name, page }) {
  await page.waitForFunction(() => globalThis.seenStates.includes('Reconnecting'), null, { timeout: RESTART_LIMIT })
    .catch(() => assert.fail(`${name} does not show that it reconnects`));
}

async function scenario(tabs) {
  const [ada, grace] = tabs;
  const said = [];
  for (const { page } of tabs) await page.evaluate(watchStatus);
  say('connected');
  for (const tab of tabs) await takeName(tab);
  for (const tab of tabs) await useSkipLink(tab);
  await speak(tabs, said, ada, 'Good morning, is anybody here?');
  await speak(tabs, said, grace, 'I am, in the other tab.');
  await speak(tabs, said, grace, 'Two lines\nby Shift and Enter.');
  await speak(tabs, said, ada, '<b>Markup</b> stays text & nothing else.');
  await checkConversation(tabs, said);
  say('exchanged');
  await takePictures(ada);

  say('ready-for-restart');
  await Promise.all(tabs.map(seesRestart));
  await picture(ada, 'reconnecting');
  say('reconnecting');
  assert.ok(!(await input.next()).done, 'stdin ended before the gateway was back');
  for (const tab of tabs) await joined(tab, RESTART_LIMIT);
  for (const { name, page } of tabs) {
    const states = await page.evaluate(() => globalThis.seenStates);
    assert.equal(states[0], 'Connected', `${name}: first state`);
    assert.equal(states.at(-1), 'Connected', `${name}: last state of ${states}`);
  }
  say('reconnected');
  await speak(tabs, said, grace, 'And we are back.');
  await speak(tabs, said, ada, 'As if nothing had happened.');
  await checkConversation(tabs, said);
  await picture(grace, 'after-restart');
  say('done');
}

await run(['Ada Lovelace', 'Grace'], scenario);
