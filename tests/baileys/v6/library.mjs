// Baileys 6.7, installed from the lock file beside this.
import https from 'node:https';
export * from '@whiskeysockets/baileys';
export { default } from '@whiskeysockets/baileys';

// This version ignores the host in a message and downloads from mmg.whatsapp.net, so this agent connects to the upload
// host instead. The certificate is still checked for mmg.whatsapp.net.
export function mediaOptions({ hosts: [{ hostname }] }) {
  const [host, port] = hostname.split(':');
  return { httpsAgent: new https.Agent({ host, port }) };
}
