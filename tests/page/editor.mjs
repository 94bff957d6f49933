// docs/examples/editor in three tabs: two write at the same time, one is cut off and comes back, the third comes late.
//
// env     NATTER_ARTIFACTS, CHROMIUM  see browser.mjs
// stdin   a JSON line with the addresses of the gateway (`direct`, and `cut`, which the test cuts), then `cut` and `back`
// stdout  JSON lines, event: `serving` (origin of the page) → `together` → (stdin `cut`) → `apart` → (stdin `back`) → `equal`
// exit    0 when every tab shows the same text in the end, and nothing that was written is missing or torn

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launch, picture } from './browser.mjs';

const EDITOR = new URL('../../docs/examples/editor/', import.meta.url);
const esbuild = createRequire(new URL('package.json', EDITOR))('esbuild');
const FIRST = 'A room of bytes carries this text. Every letter is an update of its own, and whoever has all of them has the text. ';
const SECOND = 'Nobody is in charge: the gateway keeps what was said, in one order, and tells it to those who come late. ';
const PAGE = 50; // messages in a page of history: share.js

const print = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value ?? assert.fail('stdin ended');

async function serve() {
  const folder = fileURLToPath(EDITOR);
  const context = await esbuild.context({ absWorkingDir: folder, entryPoints: ['editor.js'], bundle: true, format: 'esm', outfile: 'build/editor.js' });
  const { port } = await context.serve({ servedir: folder, host: '127.0.0.1', port: 0 });
  return `http://127.0.0.1:${port}`;
}

async function open(browser, origin, gateway, colorScheme = 'light') {
  const context = await browser.newContext({ viewport: { width: 900, height: 560 }, colorScheme });
  const page = await context.newPage();
  const tab = { page, complaints: [] };
  page.on('pageerror', (error) => tab.complaints.push(error.message));
  await page.goto(`${origin}/?gateway=${encodeURIComponent(gateway)}`);
  await page.waitForSelector('#status[data-state="live"]');
  await page.focus('#text');
  return tab;
}

const shown = ({ page }) => page.inputValue('#text');

async function write({ page }, text) {
  await page.keyboard.type(text, { delay: 8 });
}

/** Waits until every tab shows the same, with all of this in it. */
async function agree(tabs, parts) {
  for (const { page } of tabs) {
    await page.waitForFunction((wanted) => wanted.every((part) => document.getElementById('text').value.includes(part)), parts)
      .catch(async () => assert.fail(`${parts} are not all in "${await page.inputValue('#text')}"`));
  }
  const texts = await Promise.all(tabs.map(shown));
  for (const text of texts) assert.equal(text, texts[0]);
  assert.equal(texts[0].length, parts.join('').length, 'nothing is there twice');
}

async function scenario(browser, origin, addresses) {
  const tabs = [await open(browser, origin, addresses.direct), await open(browser, origin, addresses.cut, 'dark')];
  const [ada, ben] = tabs;
  await write(ada, FIRST);
  await agree(tabs, [FIRST]);
  await ben.page.keyboard.press('Control+End');
  await ada.page.keyboard.press('Control+Home');
  await Promise.all([write(ben, SECOND), write(ada, 'Together. ')]);
  await agree(tabs, ['Together. ', FIRST, SECOND]);
  for (const { page } of tabs) await page.waitForSelector('.caret', { state: 'attached' });
  await picture(ada, 'editor-light');
  await picture(ben, 'editor-dark');
  print('together');

  assert.equal(await line(), 'cut');
  await ben.page.waitForSelector('#status[data-state="connecting"]');
  await write(ben, 'Written without a gateway. ');
  await write(ada, 'Written meanwhile. ');
  assert.ok(!(await shown(ben)).includes('meanwhile') && !(await shown(ada)).includes('without a gateway'));
  print('apart');

  assert.equal(await line(), 'back');
  const all = ['Together. Written meanwhile. ', FIRST, `${SECOND}Written without a gateway. `];
  await agree(tabs, all);
  tabs.push(await open(browser, origin, addresses.direct));
  await agree(tabs, all);
  const messages = parseInt((await ada.page.textContent('#status')).match(/\d+/)[0], 10);
  assert.ok(messages > PAGE, `${messages} messages are less than a page`);
  print('equal', { messages });
  for (const { complaints } of tabs) assert.deepEqual(complaints, []);
}

try {
  await mkdir(process.env.NATTER_ARTIFACTS, { recursive: true });
  const origin = await serve();
  print('serving', { origin });
  await scenario(await launch(), origin, JSON.parse(await line()));
  process.exit(0);
} catch (error) {
  print('failed', { reason: error.message });
  process.exit(1);
}
