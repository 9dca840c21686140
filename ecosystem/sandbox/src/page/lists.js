// The phones, and the chats of the chosen one.

import { at, h, icon, keep, redraw, when } from './dom.js';
import { addressOf, avatar, chats, doing, gist, isGroup, nameOf, own, types, unread, unreadOf } from './people.js';
import { attempt, choose, store } from './store.js';

export function begin() {
  at('add-phone').addEventListener('submit', async (event) => {
    event.preventDefault();
    const made = await attempt('POST', '/phones', { number: at('new-number').value.trim() });
    if (!made) return;
    at('new-number').value = '';
    choose(made.number);
  });
  at('new-chat').addEventListener('submit', (event) => {
    event.preventDefault();
    const given = at('chat-number').value.trim();
    if (!given || !store.account) return;
    at('chat-number').value = '';
    choose(store.account, given.includes('@') ? given : addressOf(given.replace(/\D/g, '')));
  });
}

/** The state of the linked devices. */
export function devicesOf(phone) {
  const count = phone.devices.length;
  const on = phone.devices.filter((device) => device.connected).length;
  return phone.phone === 'off' ? 'phone switched off' : !count ? 'no device linked' : count === 1 ? (on ? 'device online' : 'device offline') : `${on} of ${count} online`;
}

const badge = (count) => count > 0 && h('span', { class: 'badge', 'aria-label': `${count} unread` }, count > 99 ? '99+' : count);

function phone(phone) {
  const chosen = phone.number === store.account;
  const dots = phone.devices.slice(0, 4).map((device) => h('span', { class: `dot ${device.connected ? 'on' : 'off'}` }));
  return h('li', null, h('button', {
    class: 'item', 'aria-current': chosen && 'true', title: `+${phone.number}, ${devicesOf(phone)}`, onclick: () => choose(phone.number),
  }, avatar(phone.number), h('span', { class: 'lines' },
    h('span', null, h('b', null, nameOf(phone.number)), !chosen && badge(unreadOf(phone))),
    h('span', null, dots.length > 0 && h('span', { class: 'dots' }, dots), h('small', null, devicesOf(phone))))));
}

/** Small ticks for an own message. */
export function ticks(message) {
  const cls = message.ticks === 'played' ? 'read' : message.ticks;
  return icon(cls === 'sent' ? 'tick' : 'ticks', `ticks ${cls}`, message.ticks);
}

function chat(chat) {
  const { jid, last } = chat;
  const chosen = jid === store.chat;
  const by = last && !last.from_me && isGroup(jid) ? `${nameOf(last.sender)}: ` : '';
  return h('li', null, h('button', { class: 'item', 'aria-current': chosen && 'true', onclick: () => choose(store.account, jid) },
    avatar(jid), h('span', { class: 'lines' },
      h('span', null, h('b', null, nameOf(jid)), last && h('time', null, when(last.at))),
      h('span', null, !types(jid) && last?.from_me && !last.revoked && ticks(last), types(jid) ? h('small', { class: 'now' }, doing(jid)) : h('small', null, last ? by + gist(last) : isGroup(jid) ? 'No messages yet' : 'New chat'),
        !chosen && badge(unread(chat))))));
}

export function draw() {
  const known = store.phones.map(({ number, name }) => [number, name]);
  keep(at('phone-list'), store.phones, ({ number }) => number,
    (it) => [it.devices.map(({ connected }) => connected), it.name, it.phone, it.number === store.account, unreadOf(it)], phone);
  redraw(at('account'), [store.account, own()], () => {
    const it = own();
    return it ? [avatar(it.number, true), h('div', null, h('h2', null, nameOf(it.number)), h('p', null, it.name ? `+${it.number}` : devicesOf(it)))] : [];
  });
  at('new-chat').hidden = at('open-devices').hidden = at('open-faults').hidden = !own();
  redraw(at('numbers'), [known, store.account], () => store.phones.filter(({ number }) => number !== store.account)
    .map((it) => h('option', { value: it.number }, nameOf(it.number))));
  const shown = own() ? chats() : [];
  keep(at('chat-list'), shown, ({ jid }) => jid, (it) => [it, it.jid === store.chat, unread(it), known, nameOf(it.jid), types(it.jid) && doing(it.jid)], chat);
  if (!shown.length) at('chat-list').append(h('li', { class: 'none' }, own() ? 'No chats yet. Write to a number, or from a linked device.' : 'Choose a phone.'));
}
