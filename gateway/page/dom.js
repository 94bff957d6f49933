// Small helpers for the elements of the page. Text is set as text, never parsed as HTML.

const HUES = 8; // avatar colours in chat.css

export const $ = (id) => document.getElementById(id);

export function element(tag, className = '', text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

export function button(label, className, action) {
  const made = element('button', className, label);
  made.type = 'button';
  made.addEventListener('click', action);
  return made;
}

/** Tells those who listen to the page; nothing changes for the eye. */
export const announce = (text) => { $('announcer').textContent = text; };

export function paintAvatar(avatar, name) {
  const words = name.split(/[\s\-_.]+/u).filter(Boolean);
  const initials = (words.length > 1 ? [words[0], words.at(-1)] : words).map((word) => [...word][0]).join('');
  let hash = 0;
  for (const char of name) hash = (Math.imul(hash, 31) + char.codePointAt(0)) >>> 0;
  avatar.className = `avatar hue-${hash % HUES}`;
  avatar.textContent = initials.toUpperCase() || '?';
}

/** Storage may be switched off in the browser; the page works without it. */
export const stored = (storage, key) => {
  try { return globalThis[storage].getItem(key); } catch { return null; }
};
export const store = (storage, key, value) => {
  try { globalThis[storage].setItem(key, value); } catch { /* kept for this visit only */ }
};

/** Random hex digits; crypto.randomUUID is missing where the page is served without TLS. */
export function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
