// Baileys 6.7, installed from the lock file beside this.
import https from 'node:https';
export * from '@whiskeysockets/baileys';
export { default } from '@whiskeysockets/baileys';

// This version always downloads from mmg.whatsapp.net, so its requests are redirected to the host that it uploads to. The
// certificate still has the requested name.
export function mediaOptions({ hosts: [{ hostname }] }) {
  const [host, port] = hostname.split(':');
  return { httpsAgent: new https.Agent({ host, port }) };
}
