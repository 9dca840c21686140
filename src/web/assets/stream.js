// A stream of server-sent events that goes on by itself: after a lost connection, a restart of the server, and sleep.

/** A hidden page gives its connection back after this time: a browser has six to a host. */
const HIDDEN = 10e3;
/** A stream that opens again within this time was not lost. The browser itself waits for three seconds. */
const QUIET = 6e3;

/**
 * Opens the stream at `address()`. `message(data, id)` gets each message; `lost(true)` and `lost(false)` say when the stream is
 * lost and found again, `away()` that the database does not answer the server. After the first message with an id, `after` in the
 * address says where to go on.
 */
export function stream(address, { message, lost, away }) {
  let source = null;
  let last = '';
  let pause = 1000;
  let again = 0;
  let quiet = 0;
  let hidden = 0;

  function close() {
    clearTimeout(again);
    source?.close();
    source = null;
  }

  function found() {
    clearTimeout(quiet);
    quiet = 0;
    lost(false);
  }

  function open() {
    close();
    const url = new URL(address(), location.href);
    if (last) url.searchParams.set('after', last);
    source = new EventSource(url);
    source.addEventListener('open', () => {
      pause = 1000;
      found();
    });
    source.addEventListener('message', ({ data, lastEventId }) => {
      if (lastEventId) last = lastEventId;
      found();
      message(data, lastEventId);
    });
    source.addEventListener('away', () => {
      clearTimeout(quiet);
      away?.();
    });
    source.addEventListener('back', found);
    // The server ends in order; another may take its place.
    source.addEventListener('stops', () => {
      clearTimeout(quiet);
      quiet = 0;
      lost(true);
    });
    // A page that is told to load itself again and again does so every three seconds.
    source.addEventListener('reload', () => setTimeout(() => location.reload(), Math.max(0, 3000 - performance.now())));
    source.addEventListener('error', () => {
      quiet ||= setTimeout(() => lost(true), QUIET);
      // The browser tries again by itself, unless the answer was an error.
      if (source.readyState !== EventSource.CLOSED) return;
      leave(source.url);
      again = setTimeout(open, pause);
      pause = Math.min(2 * pause, 15e3);
    });
  }

  /** The stream does not tell why it was refused. Who is signed out gets the page again, which leads to the login. */
  async function leave(url) {
    const ask = new AbortController();
    const answer = await fetch(url, { signal: ask.signal, headers: { accept: 'text/event-stream' } }).catch(() => null);
    if (answer?.status === 401) location.reload();
    ask.abort();
  }

  document.addEventListener('visibilitychange', () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(close, HIDDEN);
    else if (!source) open();
  });
  addEventListener('pagehide', close);
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted) open();
  });
  open();
  return { reopen: () => { last = ''; open(); } };
}
