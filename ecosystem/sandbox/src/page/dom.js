// Creates and updates elements. Text goes into text nodes and attributes, never through a parser, so that it stays text.

const SVG = 'http://www.w3.org/2000/svg';

export const at = (id) => document.getElementById(id);

/** Creates an element. `on…` are listeners, `style` are custom properties, false and null are left out. */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [key, set] of Object.entries(value)) node.style.setProperty(key, set);
    else if (name === 'value') node.value = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(2).filter((child) => child || child === 0));
  return node;
}

/** One of the icons in the page. */
export function icon(name, cls = 'icon', label = null) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', cls);
  if (label) {
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', label);
  } else svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Makes the children of `parent` the nodes of `items`, and keeps unchanged ones: `key` identifies an item, and the item
 * is drawn again when `sign`, the data that it is drawn from, differs. The focus stays where it was.
 */
export function keep(parent, items, key, sign, make) {
  const had = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstChild;
  for (const item of items) {
    const name = String(key(item));
    const signature = JSON.stringify(sign(item));
    let node = had.get(name);
    had.delete(name);
    if (!node || node.signature !== signature) {
      const fresh = make(item);
      fresh.dataset.key = name;
      fresh.signature = signature;
      if (node) {
        const focused = node.contains(document.activeElement) && document.activeElement;
        if (place === node) place = fresh;
        node.replaceWith(fresh);
        if (focused) (fresh.querySelector(`[data-act="${focused.dataset.act}"]`) ?? fresh).focus({ preventScroll: true });
      }
      node = fresh;
    }
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of had.values()) node.remove();
}

/** Draws `node` again when its data differs. */
export function redraw(node, sign, ...children) {
  const signature = JSON.stringify(sign);
  if (node.signature === signature) return;
  node.signature = signature;
  node.replaceChildren(...children.flatMap((child) => (typeof child === 'function' ? child() : child)).filter(Boolean));
}

/** Shows a notice for a few seconds. */
export function toast(words) {
  const note = h('p', null, words);
  at('toasts').append(note);
  setTimeout(() => note.remove(), 6000);
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const date = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const short = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

export const time = (at) => clock.format(new Date(at));

const daysAgo = (at) => Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 864e5);

/** `Today`, `Yesterday` or the date. */
export const day = (at) => ['Today', 'Yesterday'][daysAgo(at)] ?? date.format(new Date(at));

/** The time if today, else the day. */
export const when = (at) => (daysAgo(at) === 0 ? time(at) : daysAgo(at) === 1 ? 'Yesterday' : short.format(new Date(at)));

/** A file size. */
export const size = (bytes) => (bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

const HUES = [285, 30, 165, 240, 345, 75, 205, 315, 130];

/** The hue of a name; consecutive numbers get different ones. */
export const hue = (name) => HUES[[...name].reduce((sum, letter) => (sum * 10 + letter.codePointAt(0)) % 9973, 0) % HUES.length];
