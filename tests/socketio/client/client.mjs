// A page of the marketplace without a browser: prints what it hears, a line of JSON each, and does what its input says.
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const { url, options } = JSON.parse(process.argv[2]);
const say = (on, ...args) => console.log(JSON.stringify({ on, args }));
const socket = io(url, options);
socket.onAny((name, ...args) => say(name, ...args));
socket.on('connect', () => say('connect', socket.io.engine.transport.name));
socket.on('disconnect', (reason) => say('disconnect', reason));
socket.on('connect_error', (error) => say('connect_error', error.message));

for await (const line of createInterface({ input: process.stdin })) {
  const { emit, leave } = JSON.parse(line);
  if (emit) socket.emit(...emit);
  if (leave) socket.disconnect();
}
process.exit();
