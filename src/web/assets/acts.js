// Forms that run a statement: sent without leaving the page, and the statement shown with what is typed. Also copying.

const words = document.documentElement.dataset;

/** Shows a notice for some seconds, with the statement that was run; it leads to the page `see`, and then there is time to follow it. */
export function toast(text, sql = '', tone = '', see = null) {
  const note = document.createElement('p');
  note.className = tone;
  note.append(see ? Object.assign(document.createElement('a'), { textContent: text, href: see }) : text);
  if (sql) note.append(Object.assign(document.createElement('code'), { textContent: sql }));
  // What was said before is over.
  document.getElementById('toasts')?.replaceChildren(note);
  setTimeout(() => note.remove(), see || tone === 'bad' ? 12e3 : 6e3);
}

/** Shows an answer in its panel until that is closed; null takes it away. */
function keep(place, answer) {
  place.hidden = answer === null;
  place.querySelector('output').textContent = answer ?? '';
  if (answer !== null) place.querySelector('button').focus();
}

async function send(form, button) {
  const data = new FormData(form, button);
  const body = form.enctype === 'multipart/form-data' ? data : new URLSearchParams(data);
  const answer = await fetch(button?.getAttribute('formaction') ?? form.getAttribute('action'), { method: 'POST', body, headers: { accept: 'application/json' } });
  if (answer.redirected) return location.assign(answer.url);
  const { ok = answer.ok, message, hint, sql, goto, see } = await answer.json();
  const place = ok && form.querySelector('[data-answer]');
  const said = place ? words.done : [message, hint].filter(Boolean).join(' ');
  toast(said || (ok ? words.done : words.silent) || '', sql, ok ? '' : 'bad', see);
  if (!ok) return answer.status === 401 ? setTimeout(() => location.reload(), 2000) : undefined;
  if (goto) return location.assign(goto);
  if (place) return keep(place, message);
  if (form.hasAttribute('data-reset')) form.reset();
  const act = form.closest('details.act');
  if (!act) return undefined;
  act.open = false;
  return act.querySelector('summary').focus({ preventScroll: true });
}

async function submitted(event) {
  const { target: form, submitter } = event;
  if (!form.matches('form[data-act]')) return;
  event.preventDefault();
  if (form.getAttribute('aria-busy') === 'true') return;
  const button = submitter ?? form.querySelector('button:not([type=button])');
  form.setAttribute('aria-busy', 'true');
  button?.setAttribute('aria-busy', 'true');
  try {
    await send(form, submitter);
  } catch {
    // Nothing is known of the result.
    toast(words.silent ?? '', '', 'bad');
  } finally {
    form.removeAttribute('aria-busy');
    button?.removeAttribute('aria-busy');
  }
}

const sent = new WeakSet();

/** Sends the forms that a page sends by itself, each once. */
export function sendByThemselves(main) {
  for (const form of main.querySelectorAll('form[data-auto]')) {
    if (sent.has(form)) continue;
    sent.add(form);
    form.requestSubmit();
  }
}

/** A typed value as SQL: `kind` is plain (a number or a truth value), moment (in UTC), or text. */
function literal(field, kind = field.type === 'number' ? 'plain' : 'text') {
  if (field.type === 'checkbox') return String(field.checked);
  const value = field.value.trim();
  if (!value) return 'NULL';
  if (kind === 'plain' && (value === 'true' || value === 'false' || !Number.isNaN(Number(value)))) return value;
  return `'${value.replaceAll("'", "''")}${kind === 'moment' ? '+00' : ''}'`;
}

/** Puts the values of a form into its statement: `<var data-of="note">`. */
function typed({ target }) {
  const form = target.form;
  if (!form?.matches('.act form, form.stacked')) return;
  for (const slot of form.querySelectorAll('var[data-of]')) {
    const field = form.elements[slot.dataset.of];
    // A checkbox has a hidden field of its name beside it.
    const one = field instanceof RadioNodeList ? [...field].find((part) => part.checked || part.type === 'checkbox') : field;
    if (one) slot.textContent = literal(one, slot.dataset.kind);
  }
}

/** Copies where a page may not use the clipboard: without https, or without the focus. */
function byHand(text) {
  const holder = document.createElement('textarea');
  holder.value = text;
  holder.className = 'hidden';
  document.body.append(holder);
  holder.select();
  document.execCommand('copy');
  holder.remove();
}

async function copy(button) {
  const text = button.dataset.copy || document.getElementById(button.dataset.copyOf)?.textContent || '';
  if (navigator.clipboard) await navigator.clipboard.writeText(text).catch(() => byHand(text));
  else byHand(text);
  const had = button.textContent;
  if (button.dataset.was) return;
  button.dataset.was = had;
  button.textContent = words.copied ?? had;
  setTimeout(() => {
    button.textContent = button.dataset.was;
    delete button.dataset.was;
  }, 1500);
}

/** Closes the panels of actions in which the event did not happen. */
function dismiss(target) {
  for (const act of document.querySelectorAll('details.act[open]')) if (!act.contains(target)) act.open = false;
}

/** Whether the reader has a keyboard of keys: on glass, Enter is the only way to a new line. */
const hasKeys = matchMedia('(any-pointer: fine)');

/** Enter sends what is written; with Shift it begins a new line. */
function entered(event) {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || !hasKeys.matches) return;
  if (!event.target.matches('textarea[data-enter]')) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

/** Says how many sessions are picked, and picks all of the page. */
export function picks(all = false) {
  const boxes = [...document.querySelectorAll('input[form=picked]')];
  if (all) for (const box of boxes) box.checked = true;
  const place = document.querySelector('[data-picked]');
  if (place) place.textContent = boxes.filter((box) => box.checked).length;
}

export function begin() {
  document.addEventListener('submit', submitted);
  document.addEventListener('keydown', entered);
  document.addEventListener('input', typed);
  document.addEventListener('change', ({ target }) => target.matches('input[form=picked]') && picks());
  // A browser may check boxes that were checked before.
  picks();
  // An element's own toggle does not bubble.
  document.addEventListener('toggle', ({ target }) => {
    const place = !target.open && target.querySelector?.('[data-answer]');
    if (place) keep(place, null);
  }, true);
  document.addEventListener('click', ({ target }) => {
    const button = target.closest('[data-copy], [data-copy-of]');
    if (button) copy(button).catch(() => {});
    if (target.closest('[data-pick]')) picks(true);
    dismiss(target);
  });
  document.addEventListener('keydown', (event) => {
    const act = event.key === 'Escape' && event.target.closest?.('details.act[open]');
    if (!act) return;
    act.open = false;
    act.querySelector('summary').focus();
  });
}
