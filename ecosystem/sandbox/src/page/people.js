// Who is who, what is a chat, and what of it has been seen.

import { h, hue, icon } from './dom.js';
import { store } from './store.js';

/** What stands before the @, without the device. */
const user = (jid) => jid.split('@')[0].split(':')[0];

/** The phone behind a number or an address in either form. */
export function phoneOf(jid) {
  const name = user(jid);
  return store.phones.find((phone) => (jid.endsWith('@lid') ? user(phone.lid) === name : phone.number === name));
}

export const isGroup = (jid) => jid.endsWith('@g.us');
export const groupOf = (jid) => store.groups.find((group) => group.jid === jid);

/** How somebody is called: a group by its subject, a person by the name they chose or the number. */
export function nameOf(jid) {
  if (jid === 'status@broadcast') return 'Statuses';
  if (isGroup(jid)) return groupOf(jid)?.subject || 'A group';
  const phone = phoneOf(jid);
  return phone ? phone.name || `+${phone.number}` : jid.endsWith('@s.whatsapp.net') || !jid.includes('@') ? `+${user(jid)}` : jid;
}

/** The number, for who is called otherwise. */
export const numberOf = (phone) => (phone.name ? `+${phone.number} · ` : '');
export const addressOf = (number) => `${number}@s.whatsapp.net`;
export const own = () => store.phones.find((phone) => phone.number === store.account);

export function avatar(jid, little = false) {
  const name = nameOf(jid);
  const words = name.replace(/[^\p{L}\p{N} ]/gu, '').split(/\s+/).filter(Boolean);
  const letters = /^\+?\d+$/.test(name) ? name.slice(-2) : words.slice(0, 2).map((word) => [...word][0].toUpperCase()).join('');
  const props = { class: little ? 'avatar little' : 'avatar', 'aria-hidden': 'true', style: { '--hue': hue(user(jid)) } };
  return h('span', props, isGroup(jid) || !letters ? icon('group') : letters);
}

/** Whether a message is shown as such; the others change one that is. */
const stands = (message) => !message.target;

/** The chats of the phone in hand, the newest first: `{jid, last, incoming}`. */
export function chats() {
  const all = new Map();
  for (const message of store.messages.filter(stands)) {
    const chat = all.get(message.chat) ?? { jid: message.chat, incoming: 0 };
    chat.last = message;
    if (!message.from_me) chat.incoming += 1;
    all.set(message.chat, chat);
  }
  const member = ({ participants }) => participants.some(({ number }) => number === store.account);
  for (const { jid } of store.groups.filter(member)) if (!all.has(jid)) all.set(jid, { jid, incoming: 0 });
  if (store.chat && !all.has(store.chat)) all.set(store.chat, { jid: store.chat, incoming: 0 });
  const age = (chat) => (chat.last ? Date.parse(chat.last.at) : chat.jid === store.chat ? Infinity : 0);
  return [...all.values()].sort((a, b) => age(b) - age(a));
}

/** What somebody does in their chat just now, in a word, or whether they are online. */
export function doing(jid) {
  const { typing, state } = store.presence.get(jid) ?? {};
  return { composing: 'typing…', recording: 'recording…' }[typing] ?? (state === 'available' ? 'online' : '');
}
export const types = (jid) => doing(jid).endsWith('…');

/** The messages of the open chat. */
export const conversation = () => store.messages.filter((message) => stands(message) && message.chat === store.chat);

// How many messages of each chat were on screen in this tab. A sandbox that starts anew counts from nothing.
const place = () => `seen ${store.sandbox} ${store.account}`;
const read = (name) => JSON.parse(sessionStorage.getItem(name) ?? '{}');

export const unread = (chat) => Math.max(0, chat.incoming - (read(place())[chat.jid] ?? 0));

/** The open chat has been looked at. */
export function look(chat) {
  const seen = read(place());
  if (!chat || document.hidden || seen[chat.jid] === chat.incoming) return;
  sessionStorage.setItem(place(), JSON.stringify({ ...seen, [chat.jid]: chat.incoming }));
}

/** How many messages of a phone have not been on screen. */
export function unreadOf(phone) {
  const seen = read(`seen ${store.sandbox} ${phone.number}`);
  return Math.max(0, phone.received - Object.values(seen).reduce((sum, count) => sum + count, 0));
}

/** A message in a few words. */
export function gist(message) {
  if (message.revoked) return 'Message taken back';
  return message.text || KINDS[message.kind] || 'Message';
}

export const KINDS = {
  image: 'Image', video: 'Video', audio: 'Voice or audio', document: 'Document', sticker: 'Sticker', location: 'Location',
  contact: 'Contact', poll: 'Poll', poll_vote: 'Vote in a poll', other: 'A message of a kind that the sandbox does not know',
};
