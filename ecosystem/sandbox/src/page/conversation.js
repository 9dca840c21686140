// The open chat: its messages, and the actions on each.

import { at, day, h, hue, icon, keep, redraw, size, time, when } from './dom.js';
import { avatar, chats, conversation, doing, gist, groupOf, isGroup, KINDS, look, nameOf, numberOf, own, phoneOf, types } from './people.js';
import { attempt, choose, store } from './store.js';
import { composer, write } from './composer.js';
import { devicesOf, ticks } from './lists.js';

const EMOJI = ['👍', '❤️', '😂', '😮', '😢', '🙏'];
/** Consecutive messages of one person are drawn as one block. */
const RUN = 5 * 60e3;

let announced = null;
/** Whether the view follows the newest message. */
let pinned = true;
let newest = null;

export function draw() {
  const pane = at('conversation');
  const open = own() && store.chat;
  document.body.dataset.pane = open ? 'chat' : 'chats';
  redraw(pane, [open && store.account, open && store.chat, !store.phones.length, !own()], () => (open ? frame() : [nothing()]));
  announce();
  if (!open) return;
  head();
  look(chats().find(({ jid }) => jid === store.chat));
  const log = at('log');
  const last = conversation().at(-1);
  keep(log, lines(), ({ key }) => key, ({ sign }) => sign, ({ make }) => make());
  // A reader further up stays there, unless the new message is their own.
  if (last?.from_me && last.id !== newest) pinned = true;
  newest = last?.id;
  if (pinned) log.scrollTop = log.scrollHeight;
}

function frame() {
  pinned = true;
  const log = h('div', { id: 'log', role: 'log', 'aria-live': 'off', 'aria-label': 'Messages', tabindex: '0', onscroll: () => {
    pinned = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  } });
  // The window or the composer has changed its size.
  new ResizeObserver(() => { if (pinned) log.scrollTop = log.scrollHeight; }).observe(log);
  return [
    h('header', { class: 'bar' },
      h('button', { class: 'square quiet', id: 'back', 'aria-label': 'Back to the chats', onclick: () => choose(store.account) }, icon('back')),
      h('div', { class: 'who', id: 'with' })),
    log,
    composer(),
  ];
}

function head() {
  const jid = store.chat;
  const [phone, group] = [phoneOf(jid), groupOf(jid)];
  const below = phone ? numberOf(phone) + devicesOf(phone) : group ? group.participants.map(({ number }) => nameOf(number)).join(', ') : jid;
  const now = doing(jid);
  redraw(at('with'), [jid, below, nameOf(jid), now], () => [
    avatar(jid, true), h('div', null, h('h2', null, nameOf(jid)), h('p', null, now && h('span', { class: 'now' }, now), now && ' · ', below)),
  ]);
}

function nothing() {
  const words = !store.phones.length
    ? [h('h2', null, 'A WhatsApp of your own'), h('p', null, 'Everything here stays on this machine.'), h('ol', null,
      h('li', null, 'Add a phone: any number will do.'),
      h('li', null, 'Start your client and link it: paste the text of its QR code under Devices.'),
      h('li', null, 'Write from either side.'))]
    : own() ? [h('h2', null, 'Choose a chat'), h('p', null, 'Or write to a number; it needs a phone here.')]
      : [h('h2', null, 'Choose a phone'), h('p', null, 'You hold every one of them.')];
  return h('div', { class: 'empty' }, h('img', { src: '/page/icon.svg', alt: '', width: 56, height: 56 }), words);
}

/** The drawn items from top to bottom: days and messages. */
function* lines() {
  let before = null;
  const shown = conversation();
  const byId = new Map(shown.map((message) => [message.id, message]));
  for (const message of shown) {
    const today = day(message.at);
    if (!before || day(before.at) !== today) {
      yield { key: `day ${message.at}`, sign: today, make: () => h('div', { class: 'day' }, today) };
      before = null;
    }
    const next = before?.sender === message.sender && Date.parse(message.at) - Date.parse(before.at) < RUN;
    const quoted = message.quotes && byId.get(message.quotes);
    yield {
      key: `${message.sender} ${message.id}`,
      sign: [message, next, quoted && [gist(quoted), nameOf(quoted.sender)], nameOf(message.sender)],
      make: () => bubble(message, next, quoted),
    };
    before = message;
  }
  const now = types(store.chat) && doing(store.chat);
  if (now) yield { key: 'now', sign: now, make: () => h('div', { class: 'message' }, h('div', { class: 'bubble typing', role: 'img', 'aria-label': now }, h('i'), h('i'), h('i'))) };
}

function bubble(message, next, quoted) {
  const { from_me: mine, revoked } = message;
  const author = !mine && !next && isGroup(message.chat);
  const reactions = Object.entries(message.reactions);
  return h('div', { class: `message${mine ? ' mine' : ''}${next ? ' next' : ''}`, id: `m-${message.id}` },
    h('div', { class: 'bubble', tabindex: '0', 'data-act': 'bubble', 'aria-label': `${mine ? 'You' : nameOf(message.sender)}: ${gist(message)}` },
      author && h('span', { class: 'author', style: { '--hue': hue(message.sender) } }, nameOf(message.sender)),
      message.quotes && !revoked && quote(message.quotes, quoted),
      body(message),
      h('span', { class: 'meta', title: `${when(message.at)} ${time(message.at)}, id ${message.id}` },
        message.arrivals > 1 && h('span', { title: `Arrived ${message.arrivals} times` }, `×${message.arrivals}`),
        message.edited && !revoked && 'edited', h('span', null, time(message.at)), mine && !revoked && ticks(message)),
      !revoked && tools(message)),
    !revoked && reactions.length > 0 && reacted(reactions));
}

function body(message) {
  if (message.revoked) return h('span', { class: 'gone' }, icon('none'), 'Message deleted');
  if (message.kind === 'text') {
    const large = /^\p{Extended_Pictographic}[\p{Extended_Pictographic}\u200d\ufe0f\u{1f3fb}-\u{1f3ff}]{0,9}$/u.test(message.text ?? '');
    return h('span', { class: large ? 'words large' : 'words' }, message.text ?? '');
  }
  const { media } = message;
  const words = message.text && h('div', { class: 'words' }, message.text);
  const source = `/phones/${store.account}/messages/${encodeURIComponent(message.id)}/media`;
  if (media?.state === 'ready' && ['image', 'sticker'].includes(message.kind)) {
    return [h('span', { class: 'picture' }, h('img', { src: source, alt: message.text ?? KINDS[message.kind] })), words];
  }
  const note = { fetching: 'downloading', unreadable: 'cannot be read' }[media?.state] ?? (media?.size && size(media.size));
  return [h('span', { class: 'kind', title: media?.problem }, media?.file_name || KINDS[message.kind] || message.kind, note && h('span', { class: 'small soft' }, note)), words];
}

export function quoteOf(message) {
  return [h('b', null, message.from_me ? 'You' : nameOf(message.sender)), h('span', null, gist(message))];
}

function quote(id, quoted) {
  if (!quoted) return h('span', { class: 'quote' }, h('span', null, 'This phone does not have the message'));
  return h('button', { class: 'quote', 'data-act': 'quote', 'aria-label': `Go to the quoted message: ${gist(quoted)}`, onclick: () => show(id) }, quoteOf(quoted));
}

function show(id) {
  const node = at(`m-${id}`);
  node?.scrollIntoView({ block: 'center', behavior: 'smooth' });
  node?.classList.add('flash');
  setTimeout(() => node?.classList.remove('flash'), 1300);
}

function reacted(reactions) {
  const by = Map.groupBy(reactions, ([, emoji]) => emoji);
  return h('div', { class: 'reactions' }, [...by].map(([emoji, who]) => {
    const names = who.map(([jid]) => nameOf(jid)).join(', ');
    return h('span', { title: names, 'aria-label': `${emoji} by ${names}`, role: 'img' }, emoji, who.length > 1 && h('small', null, who.length));
  }));
}

function tools(message) {
  const tool = (name, label, act) => h('button', { 'aria-label': label, title: label, 'data-act': name, onclick: act }, icon(name));
  const send = (what) => attempt('POST', `/phones/${store.account}/send`, { to: store.chat, ...what });
  const mine = Object.entries(message.reactions).find(([jid]) => phoneOf(jid)?.number === store.account)?.[1];
  const bar = h('div', { class: 'tools', role: 'toolbar', 'aria-label': 'Message actions' });
  const usual = [
    tool('react', 'React', () => { bar.replaceChildren(...emoji); bar.firstChild.focus(); }),
    tool('reply', 'Reply', () => write({ reply: message })),
    message.from_me && message.kind === 'text' && tool('edit', 'Edit', () => write({ edit: message })),
    message.from_me && tool('revoke', 'Delete for everyone', () => send({ revoke: { id: message.id } })),
  ].filter(Boolean);
  const emoji = EMOJI.map((it) => h('button', {
    'aria-label': `React with ${it}`, 'aria-pressed': String(it === mine), 'data-act': it,
    onclick: () => { send({ react: { id: message.id, emoji: it === mine ? '' : it } }); bar.replaceChildren(...usual); },
  }, it));
  bar.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    bar.replaceChildren(...usual);
    bar.closest('.bubble').focus();
  });
  bar.append(...usual);
  return bar;
}

/** Announces the newest message to screen readers. */
function announce() {
  const last = store.messages.findLast((message) => !message.target);
  const name = last && `${store.account} ${last.sender} ${last.id}`;
  if (last && !last.from_me && announced?.startsWith(`${store.account} `) && name !== announced) {
    at('announce').textContent = `${nameOf(last.sender)}: ${gist(last)}`;
  }
  announced = name ?? `${store.account} `;
}
