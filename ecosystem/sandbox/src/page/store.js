// What the page knows, and how it learns of changes: GET /events names the paths whose answer is another one now, and
// those of them that are on show are asked for again, each at most every few tenths of a second.

import { toast } from './dom.js';

export const store = {
  online: false,
  sandbox: null,
  phones: [],
  messages: [],
  /** What the phone in hand shows of others: who is online, who types; by chat. */
  presence: new Map(),
  stats: null,
  groups: [],
  faults: [],
  verdict: null,
  /** QR codes that wait to be scanned. */
  codes: [],
  /** The number of the phone in hand, and the address of the chat that is open on it. */
  account: null,
  chat: null,
};

/** The answers that are kept, and what each fills. */
const KEPT = new Map([
  ['/verdict', (answer) => { store.verdict = answer; }],
  ['/phones', (answer) => { store.phones = answer.phones; }],
  ['/stats', (answer) => { store.stats = answer; }],
  ['/groups', (answer) => { store.groups = answer.groups; }],
  ['/faults', (answer) => { store.faults = answer.faults; }],
  ['/qr', (answer) => { store.codes = answer.codes; }],
]);
/** How long an answer is good enough; the verdict goes through all messages. */
const pause = (path) => (path === '/verdict' ? 2000 : 150);
const listeners = [];
const pending = new Map();
let drawing = 0;

/** Calls back, at most once a frame, after the store has changed. */
export const onChange = (listener) => listeners.push(listener);

export function changed() {
  // A page in the background draws no frames, and shall still count what arrives.
  drawing ||= (document.hidden ? setTimeout : requestAnimationFrame)(() => {
    drawing = 0;
    listeners.forEach((listener) => listener());
  });
}

/** One request. Throws what the sandbox says is wrong. */
export async function ask(method, path, body) {
  const answer = await fetch(path, { method, body: body && JSON.stringify(body) });
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.error);
  return json;
}

/** Does something that the sandbox may refuse; says so, and returns null, if it does. */
export async function attempt(method, path, body) {
  try {
    return await ask(method, path, body);
  } catch (error) {
    toast(error.message);
    return null;
  }
}

/** The same for the phone in hand, below its path. */
const OWN = {
  messages: (answer) => { store.messages = answer.messages; },
  presence: ({ presence }, path) => {
    store.presence = new Map(presence.map((it) => [it.chat, it]));
    // Who says no more is not shown as typing for longer than 25 s.
    if (presence.some(({ typing }) => typing)) setTimeout(() => refresh(path), 26e3);
  },
};
const ownPaths = () => (store.account ? Object.keys(OWN).map((what) => `/phones/${store.account}/${what}`) : []);

/** Asks for a path again: now, or as soon as the last answer is a moment old. */
export function refresh(path) {
  const known = pending.get(path);
  if (known) {
    known.again = true;
    return;
  }
  const run = { again: false };
  pending.set(path, run);
  const fill = KEPT.get(path) ?? ((answer) => { if (ownPaths().includes(path)) OWN[path.split('/').pop()](answer, path); });
  ask('GET', path).then((answer) => { fill(answer); changed(); }, () => {}).finally(() => {
    setTimeout(() => {
      pending.delete(path);
      if (run.again) refresh(path);
    }, pause(path));
  });
}

/** Takes a phone in hand. */
export function choose(account, chat = null) {
  if (account !== store.account) {
    store.account = account;
    Object.assign(store, { messages: [], presence: new Map() });
    ownPaths().forEach(refresh);
  }
  store.chat = chat;
  const place = [account, chat].filter(Boolean).join('/');
  if (location.hash.slice(1) !== place) history.replaceState(null, '', `#${place}`);
  changed();
}

export function begin() {
  const [account, chat] = decodeURI(location.hash.slice(1)).split('/');
  if (/^\d+$/.test(account)) choose(account, chat);
  connect();
}

function connect() {
  const events = new EventSource('/events');
  const online = (now) => { if (store.online !== now) { store.online = now; changed(); } };
  events.addEventListener('hello', ({ data }) => {
    const { sandbox } = JSON.parse(data);
    if (store.sandbox && store.sandbox !== sandbox) {
      toast('The sandbox has started anew; what was in the old one is gone.');
      Object.assign(store, { phones: [], messages: [], presence: new Map(), stats: null, verdict: null, account: null, chat: null });
    }
    store.sandbox = sandbox;
    online(true);
    [...KEPT.keys(), ...ownPaths()].forEach(refresh);
  });
  events.addEventListener('changed', ({ data }) => {
    for (const path of JSON.parse(data)) {
      if (KEPT.has(path) || ownPaths().includes(path)) refresh(path);
      // How many messages have come in on the other phones stands in the list of phones.
      else if (path.endsWith('/messages')) refresh('/phones');
    }
  });
  events.addEventListener('error', () => {
    online(false);
    // The browser tries again by itself, unless the answer was an error.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  });
}
