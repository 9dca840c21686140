// Faults: setting and clearing rules.

import { at, h, keep } from './dom.js';
import { own } from './people.js';
import { attempt, refresh, store } from './store.js';

const CODE = (value) => ({ name: 'code', label: 'Code', value });
const MS = { name: 'ms', label: 'Milliseconds', value: 2000 };
const IN = { direction: 'in' };
const OUT = { direction: 'out' };
const MESSAGE = { stanza: 'message' };

/** The choices: label, fault, parameters, and the fields of the rule. */
const CHOICES = [
  ['The connection', [
    ['Close the connection', 'drop'],
    ['Close it at each login', 'drop', [], { times: 'always' }],
    ['Let nothing through for a while', 'black_hole', [{ name: 'for_ms', label: 'Milliseconds', value: 5000, outside: true }]],
    ['Stream error', 'stream_error', [CODE(503)]],
    ['Refuse the login', 'login_failure', [{ name: 'reason', label: 'Reason', value: 503 }]],
    ['Ban for a while', 'ban', [CODE(101), { name: 'seconds', label: 'Seconds', value: 60 }]],
    ['Log the device out', 'logout'],
  ]],
  ['Messages to the device', [
    ['Lose', 'lose', [], { ...MESSAGE, ...OUT }],
    ['Delay', 'delay', [MS], { ...MESSAGE, ...OUT }],
    ['Deliver twice', 'duplicate', [], { ...MESSAGE, ...OUT }],
    ['Swap two', 'reorder', [], { ...MESSAGE, ...OUT }],
    ['Damage the ciphertext', 'corrupt', [], { ...MESSAGE, ...OUT }],
  ]],
  ['Messages from the device', [
    ['Lose before the server receives it', 'lose', [], { ...MESSAGE, ...IN }],
    ['Delay', 'delay', [MS], { ...MESSAGE, ...IN }],
    ['Refuse with an error', 'nack', [CODE(479)]],
    ['Lose the server\'s ack', 'lose', [], { stanza: 'ack message', ...OUT }],
  ]],
  ['Keys', [
    ['Bundle without a one-time key', 'no_one_time_key'],
    ['Bundle with an unknown one-time key', 'unknown_pre_key'],
  ]],
];
const FLAT = CHOICES.flatMap(([, choices]) => choices);

let fields;
let timer;

export function begin() {
  let index = 0;
  const kind = h('select', { id: 'fault', onchange: () => parameters(kind.value) }, CHOICES.map(([label, choices]) => h('optgroup', { label },
    choices.map(([words]) => h('option', { value: index++ }, words)))));
  fields = h('div', { class: 'fields' });
  at('faults').append(
    h('section', { class: 'block' }, h('h3', null, 'Active faults'), h('ul', { id: 'fault-list', class: 'cards' }),
      h('div', { class: 'row' }, h('button', { type: 'button', class: 'button slim plain', id: 'clear-faults', onclick: () => change('DELETE', '/faults') }, 'Clear all'))),
    h('form', { class: 'block', id: 'new-fault', onsubmit: set }, h('h3', null, 'New fault'),
      h('div', { class: 'field' }, h('label', { for: 'fault' }, 'What goes wrong'), kind),
      fields,
      h('div', { class: 'field' }, h('label', { for: 'fault-device' }, 'For'), h('select', { id: 'fault-device' })),
      h('div', { class: 'field' }, h('label', { for: 'fault-times' }, 'How often'), h('select', { id: 'fault-times' },
        ['1', '2', '5', 'always'].map((times) => h('option', { value: times }, { 1: 'Once', always: 'Until it is cleared' }[times] ?? `${times} times`)))),
      h('div', { class: 'row' }, h('button', { class: 'button' }, 'Set'))));
  parameters(0);
}

function parameters(index) {
  const [, , names = [], strikes = {}] = FLAT[index];
  fields.replaceChildren(...names.map(({ name, label, value }) => h('div', { class: 'field' },
    h('label', { for: `fault-${name}` }, label), h('input', { id: `fault-${name}`, type: 'number', min: 0, required: true, value }))));
  at('fault-times').value = strikes.times ?? '1';
}

async function change(method, path, body) {
  if (await attempt(method, path, body)) refresh('/faults');
}

function set(event) {
  event.preventDefault();
  const [, name, parameters = [], strikes] = FLAT[at('fault').value];
  const times = at('fault-times').value;
  const device = at('fault-device').value;
  const rule = { fault: { [name]: {} }, ...strikes, times: times === 'always' ? times : Number(times) };
  if (device !== 'all') rule.number = store.account;
  if (/^\d/.test(device)) rule.device = Number(device);
  for (const { name: field, outside } of parameters) (outside ? rule : rule.fault[name])[field] = Number(at(`fault-${field}`).value);
  change('POST', '/faults', rule);
}

/** The label of a rule: the one of its choice, else its kind. */
function words(rule) {
  const [[name, parameters]] = Object.entries(rule.fault);
  const known = FLAT.find(([, fault, , strikes]) => fault === name && strikes?.stanza === rule.stanza && strikes?.direction === rule.direction);
  const more = Object.entries(parameters).filter(([, value]) => typeof value === 'number').map(([key, value]) => (key === 'ms' ? `${value} ms` : `${key} ${value}`));
  return [known?.[0] ?? name.replaceAll('_', ' '), ...more].join(' · ');
}

function fault(rule) {
  const target = rule.number ? `+${rule.number}${rule.device === undefined ? '' : ` device ${rule.device}`}` : 'everybody';
  const where = [target, rule.stanza, rule.direction === 'in' ? 'from the device' : rule.direction === 'out' ? 'to the device' : ''];
  return h('li', { class: `card ${rule.state}` },
    h('div', { class: 'row' }, h('span', { class: `dot ${rule.state === 'active' ? 'bad' : 'off'}` }), h('b', { class: 'grow' }, words(rule)),
      h('button', { type: 'button', class: 'button slim plain', 'data-act': 'clear', onclick: () => change('DELETE', `/faults/${rule.id}`) }, 'Clear')),
    h('p', null, where.filter(Boolean).join(', ')),
    h('p', null, `${rule.state}: struck ${rule.struck} ${rule.times === 'always' ? 'so far' : `of ${rule.times}`}`));
}

export function draw() {
  const faults = store.faults ?? [];
  keep(at('fault-list'), faults, ({ id }) => id, (it) => it, fault);
  if (!faults.length) at('fault-list').append(h('li', { class: 'small soft' }, 'None: everything works as it should.'));
  at('clear-faults').hidden = faults.length < 2;
  const active = faults.filter(({ state }) => state === 'active' || state === 'waiting').length;
  at('fault-count').hidden = !active;
  at('fault-count').textContent = active;
  // Rules end by time without an event.
  clearTimeout(timer);
  if (active && faults.some(({ for_ms, at_ms }) => for_ms || at_ms)) timer = setTimeout(() => refresh('/faults'), 1000);
  const account = own();
  if (!account) return;
  keep(at('fault-device'), ['account', ...account.devices.map(({ device }) => device), 'all'], (it) => it, (it) => [it, account.number],
    (it) => h('option', { value: it }, it === 'account' ? `Every device of +${account.number}` : it === 'all' ? 'Everybody' : `Device ${it}`));
}
