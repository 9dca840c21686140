// The data of the page, and its updates: GET /events names the paths whose answers may have changed, and the page requests
// those that it shows again, each at most every few tenths of a second.

import { toast } from './dom.js';

export const store = {
  online: false,
  sandbox: null,
  phones: [],
  messages: [],
  /** By chat: who is online or typing, as the chosen phone shows it. */
  presence: new Map(),
  stats: null,
  groups: [],
  faults: [],
  verdict: null,
  /** QR codes offered to the phones. */
  codes: [],
  /** The number of the chosen phone, and the address of its open chat. */
  account: null,
  chat: null,
};

/** The stored answers, and the field of each. */
const KEPT = new Map([
  ['/verdict', (answer) => { store.verdict = answer; }],
  ['/phones', (answer) => { store.phones = answer.phones; }],
  ['/stats', (answer) => { store.stats = answer; }],
  ['/groups', (answer) => { store.groups = answer.groups; }],
  ['/faults', (answer) => { store.faults = answer.faults; }],
  ['/qr', (answer) => { store.codes = answer.codes; }],
]);
/** The shortest time between two requests; the verdict reads all messages. */
const pause = (path) => (path === '/verdict' ? 2000 : 150);
const listeners = [];
const pending = new Map();
let drawing = 0;

/** Calls back, at most once a frame, after the store has changed. */
export const onChange = (listener) => listeners.push(listener);

export function changed() {
  // A background page draws no frames, but must still count new messages.
  drawing ||= (document.hidden ? setTimeout : requestAnimationFrame)(() => {
    drawing = 0;
    listeners.forEach((listener) => listener());
  });
}

/** One request. Throws the sandbox's error text. */
export async function ask(method, path, body) {
  const answer = await fetch(path, { method, body: body && JSON.stringify(body) });
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.error);
  return json;
}

/** Sends a request. If the sandbox refuses it, shows the reason and returns null. */
export async function attempt(method, path, body) {
  try {
    return await ask(method, path, body);
  } catch (error) {
    toast(error.message);
    return null;
  }
}

/** The same below the chosen phone's path. */
const OWN = {
  messages: (answer) => { store.messages = answer.messages; },
  presence: ({ presence }, path) => {
    store.presence = new Map(presence.map((it) => [it.chat, it]));
    // Typing without a new notice is shown for 25 s at most.
    if (presence.some(({ typing }) => typing)) setTimeout(() => refresh(path), 26e3);
  },
};
const ownPaths = () => (store.account ? Object.keys(OWN).map((what) => `/phones/${store.account}/${what}`) : []);

/** Requests a path again: now, or when the last answer is old enough. */
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

/** Chooses a phone. */
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
      toast('The sandbox was restarted; its earlier state is gone.');
      Object.assign(store, { phones: [], messages: [], presence: new Map(), stats: null, verdict: null, account: null, chat: null });
    }
    store.sandbox = sandbox;
    online(true);
    [...KEPT.keys(), ...ownPaths()].forEach(refresh);
  });
  events.addEventListener('changed', ({ data }) => {
    for (const path of JSON.parse(data)) {
      if (KEPT.has(path) || ownPaths().includes(path)) refresh(path);
      // The list of phones has the message counts of the other phones.
      else if (path.endsWith('/messages')) refresh('/phones');
    }
  });
  events.addEventListener('error', () => {
    online(false);
    // The browser retries by itself, unless the answer was an error.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  });
}
