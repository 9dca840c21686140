// Where the owner of the phone writes.

import { at, h, icon, redraw } from './dom.js';
import { conversation } from './people.js';
import { attempt, store } from './store.js';
import { quoteOf } from './conversation.js';

/** What the next words are: a text, a `reply` to a message, or an `edit` of one. */
let context = {};
/** Words that were begun and not sent, by phone and chat. */
const drafts = new Map();
const place = () => `${store.account} ${store.chat}`;

export function composer() {
  context = {};
  const input = h('textarea', {
    id: 'words', rows: 1, placeholder: 'Write a message', 'aria-label': 'Write a message', value: drafts.get(place()) ?? '',
    oninput: () => { drafts.set(place(), input.value); fit(input); },
    onkeydown: (event) => key(event, input),
  });
  const form = h('form', { id: 'composer', onsubmit: (event) => { event.preventDefault(); send(input); } },
    h('div', { id: 'context', hidden: true }),
    h('div', { class: 'row' }, input, h('button', { class: 'square', 'aria-label': 'Send' }, icon('send'))));
  queueMicrotask(() => {
    fit(input);
    if (matchMedia('(hover: hover)').matches) input.focus();
  });
  return form;
}

/** As high as its words. */
function fit(input) {
  input.style.height = 'auto';
  input.style.height = `${input.scrollHeight + 2}px`;
}

function key(event, input) {
  if (event.isComposing) return;
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    send(input);
  } else if (event.key === 'Escape' && Object.keys(context).length) {
    event.stopPropagation();
    write({});
  } else if (event.key === 'ArrowUp' && !input.value) {
    const last = conversation().findLast((message) => message.from_me && message.kind === 'text' && !message.revoked);
    if (last) {
      event.preventDefault();
      write({ edit: last });
    }
  }
}

/** Begins a reply or an edit, or with nothing a plain text. */
export function write(next) {
  const input = at('words');
  if (context.edit || next.edit) input.value = next.edit?.text ?? '';
  context = next;
  const message = next.reply ?? next.edit;
  const bar = at('context');
  bar.hidden = !message;
  redraw(bar, [next], () => message && [
    h('div', { class: 'quote' }, quoteOf(message)),
    h('button', { type: 'button', class: 'square quiet', 'aria-label': next.edit ? 'Do not edit' : 'Do not reply', onclick: () => write({}) }, icon('close')),
  ]);
  fit(input);
  input.focus();
}

async function send(input) {
  const text = input.value.trim();
  if (!text) return;
  const { reply, edit } = context;
  const what = edit ? { edit: { id: edit.id, text } } : reply ? { reply: { id: reply.id, text } } : { text };
  // Emptied at once, so that the next words can be written; given back if this cannot be sent.
  write({});
  input.value = '';
  fit(input);
  const from = place();
  drafts.delete(from);
  const sent = await attempt('POST', `/phones/${store.account}/send`, { to: store.chat, ...what });
  if (!sent && from === place() && !input.value) input.value = text;
}
