// Assembles the panes, and draws each when the store has changed.

import { at, h, redraw } from './dom.js';
import { begin as connect, choose, onChange, store } from './store.js';
import { chats, own, unreadOf } from './people.js';
import { droppable } from './composer.js';
import * as conversation from './conversation.js';
import * as devices from './devices.js';
import * as faults from './faults.js';
import * as group from './group.js';
import * as lists from './lists.js';

const TABS = ['devices', 'faults'];
let tab = null;

/** Opens a side tab; with null, closes it. */
function open(name) {
  tab = name && own() ? name : null;
  draw();
  if (tab) at(`tab-${tab}`).focus();
  else at('words')?.focus();
}

function side() {
  at('side').hidden = !tab || !own();
  for (const name of TABS) {
    at(name).hidden = name !== tab;
    at(`tab-${name}`).setAttribute('aria-selected', name === tab);
    at(`open-${name}`).setAttribute('aria-pressed', name === tab);
  }
}

function status() {
  const { online, stats, phones, verdict } = store;
  const wrong = verdict && !verdict.ok && ['lost', 'shown_twice', 'out_of_order', 'key_reuse'].filter((word) => verdict.counts[word])
    .map((word) => `${verdict.counts[word]} ${word.replaceAll('_', ' ')}`).join(', ');
  const unknown = Object.entries(stats?.unknown ?? {});
  redraw(at('status'), [online, stats?.connected_devices, stats?.messages_routed, unknown, phones.length, verdict?.ok, wrong], () => [
    h('span', null, h('span', { class: `dot ${online ? 'on' : 'off'}` }), online ? 'Sandbox is running' : h('span', { class: 'bad' }, 'Sandbox does not answer; retrying')),
    ...(stats ? [
      h('span', { class: 'wide' }, h('b', null, phones.length), 'phones'),
      h('span', null, h('b', null, stats.connected_devices), 'devices connected'),
      h('span', { class: 'wide' }, h('b', null, stats.messages_routed), 'messages routed'),
    ] : []),
    verdict && h('span', { class: wrong ? 'bad' : 'good', title: 'GET /verdict' }, wrong ? `Message faults: ${wrong}` : 'No message faults'),
    unknown.length > 0 && h('span', { class: 'bad grow', title: unknown.map(([what, count]) => `${what}: ${count}`).join('\n') }, `${unknown.length} kinds of stanza not understood`),
  ]);
}

function draw() {
  const waiting = store.phones.reduce((sum, phone) => sum + (phone.number === store.account ? 0 : unreadOf(phone)), 0);
  document.title = `${waiting ? `(${waiting}) ` : ''}Phones · wagres sandbox`;
  for (const pane of [conversation.draw, lists.draw, devices.draw, faults.draw, side, status]) pane();
}

/** Chooses the chat above or below. */
function step(by) {
  const all = chats();
  const next = all[all.findIndex(({ jid }) => jid === store.chat) + by];
  if (next) choose(store.account, next.jid);
}

lists.begin();
devices.begin();
faults.begin();
group.begin();
droppable(at('conversation'));
for (const name of TABS) {
  at(`open-${name}`).addEventListener('click', () => open(tab === name ? null : name));
  at(`tab-${name}`).addEventListener('click', () => open(name));
}
at('close-side').addEventListener('click', () => open(null));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && tab) open(null);
  if (event.altKey && ['ArrowUp', 'ArrowDown'].includes(event.key)) {
    event.preventDefault();
    step(event.key === 'ArrowUp' ? -1 : 1);
  }
});
document.addEventListener('visibilitychange', draw);
onChange(draw);
connect();
draw();
