// The screen of events: rows as they come, a filter, a pause, and a bounded number of rows.

import { stream } from './stream.js';
import { tick } from './times.js';

/** Follows the events of `section`. */
export function begin(section, lost, away) {
  const list = section.querySelector('.events');
  const filter = section.querySelector('[data-events-filter]');
  const button = section.querySelector('[data-events-pause]');
  const waiting = section.querySelector('[data-events-waiting]');
  const most = Number(section.dataset.max) || 300;
  const seen = new Set([...list.children].map((row) => row.dataset.key));
  /** Rows that came during a pause, the oldest first. */
  let held = [];
  let paused = false;

  const fits = (row) => !filter?.value || row.textContent.toLowerCase().includes(filter.value.trim().toLowerCase());

  function add(rows) {
    for (const row of rows) row.hidden = !fits(row);
    list.prepend(...rows.toReversed());
    while (list.children.length > most) {
      seen.delete(list.lastElementChild.dataset.key);
      list.lastElementChild.remove();
    }
    tick(list);
  }

  function count() {
    if (waiting) waiting.textContent = held.length ? waiting.dataset.words.replace('{}', held.length >= most ? `${most}+` : held.length) : '';
  }

  let drawing = 0;
  let fresh = [];
  function message(data) {
    const holder = document.createElement('template');
    holder.innerHTML = data;
    const row = holder.content.firstElementChild;
    // An event may come twice.
    if (!row || seen.has(row.dataset.key)) return;
    seen.add(row.dataset.key);
    fresh.push(row);
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      if (paused) {
        held = [...held, ...fresh].slice(-most);
        count();
      } else add(fresh.slice(-most));
      fresh = [];
    });
  }

  filter?.addEventListener('input', () => { for (const row of list.children) row.hidden = !fits(row); });
  filter?.form?.addEventListener('submit', (event) => event.preventDefault());
  button?.addEventListener('click', () => {
    paused = !paused;
    button.setAttribute('aria-pressed', paused);
    const { paused: other } = button.dataset;
    if (other) [button.dataset.paused, button.textContent] = [button.textContent, other];
    if (paused) return;
    add(held);
    held = [];
    count();
  });
  stream(() => section.dataset.events, { message, lost, away });
}
