// Receives webhooks and verifies them with the official library of npm: prints its port, then a line for each delivery.
// SECRET is the secret; what does not verify is answered with 401.

import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.SECRET);

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const told = { headers: request.headers, body };
  try {
    told.event = webhook.verify(body, request.headers);
  } catch (error) {
    told.error = error.message;
  }
  console.log(JSON.stringify(told));
  response.writeHead(told.error ? 401 : 204).end();
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
