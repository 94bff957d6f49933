// On narrow screens the rooms and the name are a drawer over the messages.

import { $ } from './dom.js';

function openDrawer() {
  document.body.classList.add('drawer-open');
  $('open-drawer').setAttribute('aria-expanded', 'true');
  $('main').inert = true;
  document.querySelector('#rooms a[aria-current]')?.focus();
}

export function closeDrawer() {
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
matchMedia('(max-width: 47.99rem)').addEventListener('change', closeDrawer);

// iOS lays its keyboard over the page: only the visual viewport knows the height that is left.
globalThis.visualViewport?.addEventListener('resize', () => {
  document.documentElement.style.setProperty('--visible', `${visualViewport.height}px`);
});
