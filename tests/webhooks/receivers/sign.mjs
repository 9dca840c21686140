// Signs as the official library does: reads lines of {secret, id, timestamp, body}, writes a line of JSON with the signature of each.

import { createInterface } from 'node:readline';
import { Webhook } from 'standardwebhooks';

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, id, timestamp, body } = JSON.parse(line);
  console.log(JSON.stringify(new Webhook(secret).sign(id, new Date(timestamp * 1000), body)));
}
