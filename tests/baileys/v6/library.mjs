// Baileys 6.7, installed from the lock file beside this.
export * from '@whiskeysockets/baileys';
export { default } from '@whiskeysockets/baileys';
