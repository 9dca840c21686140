// Baileys 6.7, installed from the lock file beside this.
import https from 'node:https';
export * from '@whiskeysockets/baileys';
export { default } from '@whiskeysockets/baileys';

// This version downloads from mmg.whatsapp.net whatever a message says, so its requests are led to the host that it was
// told to upload to. The name in the certificate stays the one that it asked for.
export function mediaOptions({ hosts: [{ hostname }] }) {
  const [host, port] = hostname.split(':');
  return { httpsAgent: new https.Agent({ host, port }) };
}
