// Brings a part of the page to a new state, and keeps what the reader has there: focus, selection, scroll, open details,
// typed text. Elements with an id or a data-key are matched by it, others by order, kind and first class.

const nameOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key || '' : '');
const kindOf = (node) => `${node.nodeName} ${node.classList?.[0] ?? ''}`;

/** Makes the content of `target` that of `fresh`, which is used up. */
export function morph(target, fresh) {
  const focused = document.activeElement;
  const { selectionStart, selectionEnd } = focused ?? {};
  children(target, fresh);
  if (!focused || focused === document.activeElement) return;
  const again = focused.isConnected ? focused : focused.id && document.getElementById(focused.id);
  again?.focus?.({ preventScroll: true });
  if (typeof selectionStart === 'number' && again === focused) again.setSelectionRange?.(selectionStart, selectionEnd);
}

function children(parent, fresh) {
  const wanted = [...fresh.childNodes];
  const names = new Map(wanted.map((node) => [nameOf(node), node.nodeName]));
  const named = new Map();
  for (const node of [...parent.childNodes]) {
    const name = nameOf(node);
    if (!name) continue;
    if (names.get(name) === node.nodeName && !named.has(name)) named.set(name, node);
    else node.remove();
  }
  let place = parent.firstChild;
  for (const next of wanted) {
    const name = nameOf(next);
    const node = name ? named.get(name) : unnamed(place, kindOf(next));
    named.delete(name);
    if (!node) parent.insertBefore(next, place);
    else if (node === place) place = place.nextSibling;
    else move(parent, node, place);
    if (node) become(node, next);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

/** The first of the nodes from `place` on that has no name and is of this kind. */
function unnamed(place, kind) {
  while (place && (nameOf(place) || kindOf(place) !== kind)) place = place.nextSibling;
  return place;
}

/** Moves a node; where the browser can, without a loss of its focus. */
function move(parent, node, place) {
  if (parent.moveBefore) parent.moveBefore(node, place);
  else parent.insertBefore(node, place);
}

function become(node, next) {
  if (node.nodeType !== Node.ELEMENT_NODE) return text(node, next.data);
  // What scripts keep, and a form on its way.
  if (node.hasAttribute('data-keep') || node.getAttribute('aria-busy') === 'true' || node.isEqualNode(next)) return;
  const typed = hasInput(node);
  attributes(node, next, typed);
  if (node.nodeName === 'TEXTAREA') {
    if (!typed) node.value = next.value;
    node.defaultValue = next.defaultValue;
  } else if (node.nodeName === 'SELECT') {
    const chosen = typed ? node.value : next.value;
    children(node, next);
    node.value = chosen;
  } else children(node, next);
}

/** Whether the reader has put something in that differs from what the page had. */
function hasInput(node) {
  if (node.nodeName === 'SELECT') {
    const options = [...node.options];
    const first = Math.max(0, options.findIndex((option) => option.defaultSelected));
    return node === document.activeElement || node.selectedIndex !== first;
  }
  if (node.nodeName !== 'INPUT' && node.nodeName !== 'TEXTAREA') return false;
  if (node.type === 'checkbox' || node.type === 'radio') return node.checked !== node.defaultChecked;
  return node === document.activeElement || node.value !== node.defaultValue;
}

function attributes(node, next, typed) {
  const isInput = node.nodeName === 'INPUT';
  // The reader opens and closes details and dialogs.
  const own = (name) => (name === 'open' && /^(DETAILS|DIALOG)$/.test(node.nodeName)) || (typed && isInput && /^(value|checked)$/.test(name));
  for (const { name, value } of next.attributes) if (!own(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  for (const { name } of [...node.attributes]) if (!own(name) && !next.hasAttribute(name)) node.removeAttribute(name);
  if (!isInput || typed) return;
  if (node.type === 'checkbox' || node.type === 'radio') node.checked = next.checked;
  else if (node.value !== next.value) node.value = next.value;
}

/** Changes only the part of a text that differs, so that a selection of the rest stays. */
function text(node, wanted) {
  const had = node.data;
  if (had === wanted) return;
  const shorter = Math.min(had.length, wanted.length);
  let start = 0;
  while (start < shorter && had[start] === wanted[start]) start += 1;
  let end = 0;
  while (end < shorter - start && had.at(-1 - end) === wanted.at(-1 - end)) end += 1;
  node.replaceData(start, had.length - start - end, wanted.slice(start, wanted.length - end));
}
