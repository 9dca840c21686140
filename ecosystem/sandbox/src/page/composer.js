// The composer, in which the owner of the phone writes.

import { at, h, icon, redraw, toast } from './dom.js';
import { conversation, isGroup, own, phoneOf } from './people.js';
import { ask, attempt, store } from './store.js';
import { quoteOf } from './conversation.js';

/** The kind of the next message: a text, a `reply`, an `edit`, or an `image` with a caption. */
let context = {};
/** Unsent text, by phone and chat. */
const drafts = new Map();
const draftKey = () => `${store.account} ${store.chat}`;

/** The chat with a typing notice, and its time. It is repeated every 10 s, and `paused` follows after 4 s without a key. */
let notice = null;

const sendTyping = ({ account, chat }, state) => ask('POST', `/phones/${account}/typing`, { to: chat, state }).catch(() => {});

function pausing() {
  if (!notice) return;
  clearTimeout(notice.timer);
  sendTyping(notice, 'paused');
  notice = null;
}

function writing() {
  const { account, chat } = store;
  // Typing notices exist in one-to-one chats only.
  if (isGroup(chat) || !phoneOf(chat) || own()?.phone === 'off') return;
  clearTimeout(notice?.timer);
  if (!notice || Date.now() - notice.at > 10e3) sendTyping(notice = { account, chat, at: Date.now() }, 'composing');
  notice.timer = setTimeout(pausing, 4000);
}

export function composer() {
  context = {};
  pausing();
  const input = h('textarea', {
    id: 'words', rows: 1, placeholder: 'Write a message', 'aria-label': 'Write a message', value: drafts.get(draftKey()) ?? '',
    oninput: () => {
      drafts.set(draftKey(), input.value);
      fit(input);
      (input.value ? writing : pausing)();
    },
    onkeydown: (event) => key(event, input),
    onpaste: (event) => { if (take(event.clipboardData.files)) event.preventDefault(); },
  });
  const file = h('input', { id: 'file', type: 'file', accept: 'image/*', hidden: true, onchange: () => { take(file.files); file.value = ''; } });
  const form = h('form', { id: 'composer', onsubmit: (event) => { event.preventDefault(); send(input); } },
    h('div', { id: 'context', hidden: true }),
    h('div', { class: 'row' },
      h('button', { type: 'button', class: 'square quiet', 'aria-label': 'Send an image', title: 'Send an image', onclick: () => file.click() }, icon('image')), file,
      input, h('button', { class: 'square', 'aria-label': 'Send' }, icon('send'))));
  queueMicrotask(() => {
    fit(input);
    if (matchMedia('(hover: hover)').matches) input.focus();
  });
  return form;
}

/** Accepts images dropped on a pane. */
export function droppable(pane) {
  const files = (event) => at('words') && event.dataTransfer.types.includes('Files');
  pane.addEventListener('dragover', (event) => {
    if (!files(event)) return;
    event.preventDefault();
    pane.classList.add('dropping');
  });
  pane.addEventListener('dragleave', (event) => { if (!pane.contains(event.relatedTarget)) pane.classList.remove('dropping'); });
  pane.addEventListener('drop', (event) => {
    pane.classList.remove('dropping');
    if (!files(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}

/** Selects the first image of some files as the next message. */
function take(files) {
  const image = [...files].find(({ type }) => type.startsWith('image/'));
  if (image) write({ image });
  else if (files.length) toast('Only images can be sent from here.');
  return files.length > 0;
}

/** Fits the height to the text. */
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

/** Starts a reply, an edit or an image; without an argument, a plain text. */
export function write(next) {
  const input = at('words');
  if (context.edit || next.edit) input.value = next.edit?.text ?? '';
  context = next;
  const message = next.reply ?? next.edit;
  const bar = at('context');
  bar.hidden = !message && !next.image;
  redraw(bar, [message, next.image && Math.random()], () => [
    next.image ? preview(next.image) : message && h('div', { class: 'quote' }, quoteOf(message)),
    h('button', { type: 'button', class: 'square quiet', 'aria-label': 'Cancel', onclick: () => write({}) }, icon('close')),
  ]);
  fit(input);
  input.focus();
}

function preview(file) {
  const url = URL.createObjectURL(file);
  return h('span', { class: 'preview' }, h('img', { src: url, alt: 'The image to send', onload: () => URL.revokeObjectURL(url) }), h('span', { class: 'small soft' }, file.name));
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function send(input) {
  const text = input.value.trim();
  const { reply, edit, image } = context;
  if (!text && !image) return;
  // Emptied at once for the next message; restored if sending fails.
  const [from, account, to] = [draftKey(), store.account, store.chat];
  pausing();
  write({});
  input.value = '';
  fit(input);
  drafts.delete(from);
  const what = image ? { image: { data: await base64(image), mime: image.type, ...(text && { caption: text }) } }
    : edit ? { edit: { id: edit.id, text } } : reply ? { reply: { id: reply.id, text } } : { text };
  const sent = await attempt('POST', `/phones/${account}/send`, { to, ...what });
  if (!sent && from === draftKey() && !input.value) input.value = text;
}
