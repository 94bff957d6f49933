// What the scripts of this folder share: a headless Chromium, tabs that complain, screenshots.
//
// env   NATTER_URL        address of the page
//       NATTER_ARTIFACTS  folder for screenshots (created)
//       CHROMIUM          the browser, default /usr/bin/chromium

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';

const { NATTER_ARTIFACTS, CHROMIUM = '/usr/bin/chromium' } = process.env;
export const { NATTER_URL } = process.env;
export const DESKTOP = { width: 1200, height: 760 };
export const PHONE = { width: 360, height: 740 };

const FLAGS = [
  '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** A tab together with what it must not do: fail, break the page's own policy, or speak to another host. */
export async function openTab(context, name) {
  const page = await context.newPage();
  const tab = { name, page, complaints: [], published: new Map() };
  const origin = new URL(NATTER_URL).host;
  page.on('pageerror', (error) => tab.complaints.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    if (/content security policy/i.test(message.text())) tab.complaints.push(message.text());
  });
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== 'data:' && host !== origin) tab.complaints.push(`request to ${host}`);
  });
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => countPublications(tab, payload)));
  await page.goto(`${NATTER_URL}#lobby`);
  await joined(tab);
  return tab;
}

/** The page hides a publication that comes twice, so deliveries are counted on the wire. */
function countPublications(tab, frame) {
  for (const line of String(frame).split('\n').filter(Boolean)) {
    const id = JSON.parse(line).push?.pub?.data?.id;
    if (id) tab.published.set(id, (tab.published.get(id) ?? 0) + 1);
  }
}

/** Waits until the room on the page is joined. */
export async function joined({ page }, timeout = 15_000) {
  await page.waitForSelector('#status[data-state="connected"]', { timeout });
  await page.waitForSelector('#rooms li.joined a[aria-current="page"]', { state: 'attached', timeout });
}

export const picture = ({ page }, name) => page.screenshot({ path: path.join(NATTER_ARTIFACTS, `${name}.png`) });

/** What the page shows, in order. */
export function shown({ page }) {
  return page.$$eval('#log > li', (items) => items.map((item) => ({
    id: item.dataset.id,
    author: item.querySelector('.author').textContent,
    text: item.querySelector('.text').textContent,
    own: item.classList.contains('own'),
    settled: !item.classList.contains('pending') && !item.classList.contains('failed'),
  })));
}

/** Fails when the page is wider than the screen, which a phone would scroll sideways. */
export async function fits({ name, page }) {
  const { width } = page.viewportSize();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${name}: width of the page`);
}

/** A headless browser. Without Chromium's sandbox: containers seldom allow it, and the pages under test are our own. */
export const launch = () => chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: false, args: FLAGS });

/** Runs `scenario(tabs)` with a tab for each name; ends the process with 0, or 1 and a picture of every tab. */
export async function run(names, scenario) {
  const tabs = [];
  let browser;
  try {
    assert.ok(NATTER_URL && NATTER_ARTIFACTS, 'NATTER_URL and NATTER_ARTIFACTS must be set');
    await mkdir(NATTER_ARTIFACTS, { recursive: true });
    browser = await launch();
    const context = await browser.newContext({ viewport: DESKTOP, colorScheme: 'light', reducedMotion: 'reduce' });
    for (const name of names) tabs.push(await openTab(context, name));
    await scenario(tabs);
    for (const { name, complaints } of tabs) assert.deepEqual(complaints, [], `${name}: complaints`);
  } catch (error) {
    for (const [index, tab] of tabs.entries()) await picture(tab, `failure-${index + 1}`);
    console.error(`page: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await browser?.close();
  }
  process.exit();
}
