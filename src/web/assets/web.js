// What pages do beyond HTML: they show changes as they happen, send forms without a new page, and know keys. Each part looks
// for its attributes in the page; without scripts, pages are complete and forms are sent as usual.

import * as acts from './acts.js';
import * as events from './events.js';
import { morph } from './morph.js';
import * as plots from './plots.js';
import { stream } from './stream.js';
import * as times from './times.js';

const words = document.documentElement.dataset;
const main = document.getElementById('main');

/** Says in a quiet place whether the page is current. */
function status(text) {
  const place = document.getElementById('live');
  if (place && place.textContent !== text) place.textContent = text;
}
const lost = (is) => status(is ? words.lost ?? '' : '');
const away = () => status(words.away ?? words.lost ?? '');

/** The newest state of the main part that is not shown yet. */
let next = null;

function show() {
  const holder = document.createElement('template');
  holder.innerHTML = next;
  next = null;
  const whole = holder.content;
  for (const part of [...whole.children].filter((node) => node.matches('template[data-part]'))) {
    const target = document.getElementById(part.dataset.part);
    if (target) morph(target, part.content);
    part.remove();
  }
  const outer = whole.firstElementChild;
  const ends = [...main.querySelectorAll('[data-bottom]')].filter(isAtEnd);
  plots.around(() => morph(main, outer?.id === 'main' ? outer : whole));
  times.tick(main);
  acts.sendByThemselves(main);
  acts.picks();
  for (const end of ends) end.scrollTop = end.scrollHeight;
}

/** Whether a conversation shows its newest message. */
const isAtEnd = (node) => node.scrollHeight - node.scrollTop - node.clientHeight < 60;

function live() {
  const message = (data) => {
    if (next === null) requestAnimationFrame(show);
    next = data;
  };
  stream(() => main.dataset.live, { message, lost, away });
}

/** The reader's time zone, so that the server writes times in it. */
function zone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const secure = location.protocol === 'https:' ? '; secure' : '';
  if (timeZone) document.cookie = `wagres_zone=${timeZone}; path=/; max-age=31536000; samesite=lax${secure}`;
}

/** Whether keys are text here. */
const isTyping = (node) => node.closest?.('input, textarea, select, [contenteditable]');

/** `/` searches, `?` shows the keys, `g` and a letter goes to a screen. */
function keys() {
  let after = 0;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isTyping(event.target)) {
      if (event.key === 'Escape' && event.target.matches('[data-search]')) event.target.blur();
      return;
    }
    const goes = performance.now() - after < 1500;
    after = event.key === 'g' && !goes ? performance.now() : 0;
    const link = goes && document.querySelector(`a[data-go="${CSS.escape(event.key)}"]`);
    if (link) link.click();
    else if (event.key === '/') document.querySelector('[data-search]')?.focus();
    else if (event.key === '?') document.getElementById('shortcuts')?.showModal();
    else return;
    event.preventDefault();
  });
}

times.begin();
acts.begin();
plots.begin();
keys();
zone();
for (const end of document.querySelectorAll('[data-bottom]')) end.scrollTop = end.scrollHeight;
for (const section of document.querySelectorAll('[data-events]')) events.begin(section, lost, away);
if (main) acts.sendByThemselves(main);
if (main?.dataset.live) live();
const again = document.querySelector('[data-reload]');
if (again) setTimeout(() => location.reload(), 1000 * again.dataset.reload);
