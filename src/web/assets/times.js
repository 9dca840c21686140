// Ages, spans and countdowns that stay current. The words are attributes of the root element, parts divided by |.

const words = document.documentElement.dataset;
/** How far the server's clock is ahead of this one, in milliseconds. */
const ahead = words.now ? Date.parse(words.now) - Date.now() : 0;
const UNITS = [1, 60, 3600, 86400];

/** Seconds as `4 min`, with the parts of a list of words: `{} s|{} min|{} h|{} d`. */
function spell(seconds, parts) {
  const unit = UNITS.findLastIndex((unit) => seconds >= unit);
  const at = Math.max(0, unit);
  return (parts[at] ?? '').replace('{}', Math.floor(seconds / UNITS[at]));
}

/** A list whose first part is for now. */
function from(list, seconds) {
  const [now, ...parts] = (list ?? '').split('|');
  return seconds < 1 ? now : spell(seconds, parts);
}

const two = (number) => String(number).padStart(2, '0');

function clock(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function show(node, now) {
  const { ago, span, until } = node.dataset;
  const past = (now - Date.parse(node.dateTime)) / 1000;
  if (Number.isNaN(past)) return;
  const left = Math.max(0, Math.ceil(-past));
  const text = ago !== undefined ? from(words.ago, Math.max(0, past))
    : span !== undefined ? spell(Math.max(0, past), (words.span ?? '').split('|'))
      : until === 'clock' ? clock(left) : from(words.in, left);
  if (node.textContent !== text) node.textContent = text;
}

/** A ring that grows shorter: `data-ring` is its end, `data-of` its length in seconds. */
function shorten(ring, now) {
  const left = Math.max(0, Math.min(1, (Date.parse(ring.dataset.ring) - now) / 1000 / ring.dataset.of));
  ring.querySelector('.left')?.setAttribute('stroke-dasharray', `${(100 * left).toFixed(1)} 100`);
  ring.classList.toggle('over', left === 0);
}

/** Brings all times of the page, or of a part of it, up to date. */
export function tick(part = document) {
  const now = Date.now() + ahead;
  for (const node of part.querySelectorAll('time:is([data-ago], [data-span], [data-until])')) show(node, now);
  for (const ring of part.querySelectorAll('[data-ring]')) shorten(ring, now);
}

/** Keeps them up to date. */
export function begin() {
  tick();
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  document.addEventListener('visibilitychange', () => tick());
}
