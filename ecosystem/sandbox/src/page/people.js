// People, chats, and which messages were on screen.

import { h, hue, icon } from './dom.js';
import { store } from './store.js';

/** The part before the @, without the device. */
const user = (jid) => jid.split('@')[0].split(':')[0];

/** The phone of a number or of an address in either form. */
export function phoneOf(jid) {
  const name = user(jid);
  return store.phones.find((phone) => (jid.endsWith('@lid') ? user(phone.lid) === name : phone.number === name));
}

export const isGroup = (jid) => jid.endsWith('@g.us');
export const groupOf = (jid) => store.groups.find((group) => group.jid === jid);

/** The name of a chat: a group's subject, a person's own name or number. */
export function nameOf(jid) {
  if (jid === 'status@broadcast') return 'Statuses';
  if (isGroup(jid)) return groupOf(jid)?.subject || 'A group';
  const phone = phoneOf(jid);
  return phone ? phone.name || `+${phone.number}` : jid.endsWith('@s.whatsapp.net') || !jid.includes('@') ? `+${user(jid)}` : jid;
}

/** The number, for a person who is shown by name. */
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

/** Whether a message is shown itself; the others change a shown one. */
const stands = (message) => !message.target;

/** The chats of the chosen phone, the newest first: `{jid, last, incoming}`. */
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

/** A person's activity in their chat, or whether they are online. */
export function doing(jid) {
  const { typing, state } = store.presence.get(jid) ?? {};
  return { composing: 'typing…', recording: 'recording…' }[typing] ?? (state === 'available' ? 'online' : '');
}
export const types = (jid) => doing(jid).endsWith('…');

/** The messages of the open chat. */
export const conversation = () => store.messages.filter((message) => stands(message) && message.chat === store.chat);

// How many messages of each chat were on screen in this tab. After a restart of the sandbox the counts start at zero.
const place = () => `seen ${store.sandbox} ${store.account}`;
const read = (name) => JSON.parse(sessionStorage.getItem(name) ?? '{}');

export const unread = (chat) => Math.max(0, chat.incoming - (read(place())[chat.jid] ?? 0));

/** Marks the open chat as seen. */
export function look(chat) {
  const seen = read(place());
  if (!chat || document.hidden || seen[chat.jid] === chat.incoming) return;
  sessionStorage.setItem(place(), JSON.stringify({ ...seen, [chat.jid]: chat.incoming }));
}

/** How many messages of a phone were not on screen yet. */
export function unreadOf(phone) {
  const seen = read(`seen ${store.sandbox} ${phone.number}`);
  return Math.max(0, phone.received - Object.values(seen).reduce((sum, count) => sum + count, 0));
}

/** A short text for a message. */
export function gist(message) {
  if (message.revoked) return 'Message deleted';
  return message.text || KINDS[message.kind] || 'Message';
}

export const KINDS = {
  image: 'Image', video: 'Video', audio: 'Voice or audio', document: 'Document', sticker: 'Sticker', location: 'Location',
  contact: 'Contact', poll: 'Poll', poll_vote: 'Vote in a poll', other: 'A message of a kind that the sandbox does not know',
};
