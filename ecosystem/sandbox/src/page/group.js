// A new group: its subject and participants.

import { at, h } from './dom.js';
import { nameOf } from './people.js';
import { attempt, choose, store } from './store.js';

export function begin() {
  at('new-group').addEventListener('click', ask);
}

function ask() {
  const others = store.phones.filter(({ number }) => number !== store.account);
  const subject = h('input', { id: 'subject', maxlength: 100, required: true, autocomplete: 'off' });
  const form = h('form', { class: 'fields', onsubmit: async (event) => {
    event.preventDefault();
    const participants = [...form.querySelectorAll(':checked')].map(({ value }) => value);
    const made = await attempt('POST', '/groups', { subject: subject.value, creator: store.account, participants });
    if (!made) return;
    dialog.close();
    choose(store.account, made.jid);
  } },
    h('h2', null, 'New group'),
    h('div', { class: 'field' }, h('label', { for: 'subject' }, 'Subject'), subject),
    h('fieldset', null, h('legend', null, 'With'), others.map(({ number }) => h('label', { class: 'check' },
      h('input', { type: 'checkbox', value: number, checked: others.length < 6 }), nameOf(number)))),
    h('div', { class: 'row' }, h('button', { class: 'button' }, 'Create the group'),
      h('button', { type: 'button', class: 'button plain', onclick: () => dialog.close() }, 'Cancel')));
  const dialog = h('dialog', { 'aria-label': 'New group', onclose: () => dialog.remove() }, form);
  document.body.append(dialog);
  dialog.showModal();
}
