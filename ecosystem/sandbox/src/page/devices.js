// The linked devices of the chosen phone: link, drop, unlink.

import { at, h, keep, redraw, toast } from './dom.js';
import { own } from './people.js';
import { attempt, refresh, store } from './store.js';

export function begin() {
  const qr = h('textarea', { id: 'qr', class: 'mono', rows: 4, placeholder: '2@…', spellcheck: 'false', required: true });
  const code = h('input', { id: 'code', class: 'code', placeholder: 'ABCD-1234', maxlength: 9, spellcheck: 'false', autocomplete: 'off', required: true });
  at('devices').append(
    h('section', { class: 'block' }, h('h3', null, 'Linked devices'), h('ul', { id: 'device-list', class: 'cards' }),
      h('div', { class: 'row' }, h('button', { type: 'button', class: 'button slim plain', id: 'power', onclick: power }))),
    h('form', { class: 'block', id: 'confirm', hidden: true, onsubmit: (event) => link(event, 'confirm', { code: code.value.trim() }, code) },
      h('h3', null, 'A device wants to be linked'), h('p', { id: 'request' }),
      h('div', { class: 'field' }, h('label', { for: 'code' }, 'The code on the device'), code),
      h('div', { class: 'row' }, h('button', { class: 'button' }, 'Confirm'))),
    h('section', { class: 'block' }, h('h3', null, 'Link a device'),
      h('p', null, 'An unlinked client shows a QR code. This is the phone that scans the code.'),
      h('ul', { id: 'codes', class: 'cards' }),
      h('form', { class: 'fields', onsubmit: (event) => link(event, 'scan', { qr: qr.value.trim() }, qr) },
        h('div', { class: 'field' }, h('label', { for: 'qr' }, 'Text of the QR code'), qr),
        h('div', { class: 'row' }, h('button', { class: 'button' }, 'Link')))));
}

async function power() {
  const { number, phone } = own();
  if (await attempt('POST', '/phones', { number, phone: phone === 'off' ? 'on' : 'off' })) refresh('/phones');
}

async function link(event, how, body, input) {
  event.preventDefault();
  const button = event.submitter ?? event.target;
  button.disabled = true;
  const linked = await attempt('POST', `/phones/${store.account}/${how}`, body);
  button.disabled = false;
  if (!linked) return;
  if (input) input.value = '';
  toast(linked.passkey ? 'The device asks for the passkey of this account now.' : `Device ${linked.device} is linked.`);
}

/** A button that must be pressed twice. */
function careful(words, act) {
  const button = h('button', { type: 'button', class: 'button slim plain', 'data-act': words, onclick: () => {
    if (button.classList.contains('danger')) return act();
    button.textContent = `${words}?`;
    button.classList.add('danger');
    setTimeout(() => { button.textContent = words; button.classList.remove('danger'); }, 3000);
  } }, words);
  return button;
}

function device({ device, connected, unacknowledged }) {
  const { number } = own();
  return h('li', { class: 'card' },
    h('div', { class: 'row' }, h('span', { class: `dot ${connected ? 'on' : 'off'}` }), h('b', { class: 'grow' }, `Device ${device}`),
      h('span', { class: 'small soft' }, connected ? 'connected' : 'offline')),
    unacknowledged > 0 && h('p', null, `${unacknowledged} stanzas not acknowledged`),
    h('div', { class: 'row' },
      h('button', { type: 'button', class: 'button slim plain', disabled: !connected, 'data-act': 'drop', onclick: () => attempt('POST', `/devices/${number}/${device}/drop`) }, 'Drop connection'),
      careful('Unlink', () => attempt('POST', `/phones/${number}/unlink`, { device }))));
}

function code({ shown, label, qr }) {
  return h('li', { class: 'card' }, h('div', { class: 'row' }, h('b', { class: 'grow' }, label || 'Waiting QR code'),
    h('button', { type: 'button', class: 'button slim', 'data-act': 'scan', onclick: (event) => link(event, 'scan', { shown }) }, 'Scan')),
    h('p', { class: 'mono one-line' }, qr));
}

export function draw() {
  const list = at('device-list');
  const devices = own()?.devices ?? [];
  keep(list, devices, (it) => `${store.account} ${it.device}`, (it) => it, device);
  if (!devices.length) list.append(h('li', { class: 'small soft' }, 'None yet.'));
  at('power').textContent = own()?.phone === 'off' ? 'Switch the phone on' : 'Switch the phone off';
  const request = own()?.code_request;
  at('confirm').hidden = !request;
  redraw(at('request'), request, request ? `${request.device}: ${request.tries_left} tries left.` : '');
  keep(at('codes'), store.codes ?? [], ({ shown }) => shown, (it) => [it.shown, it.label], code);
}
