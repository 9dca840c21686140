// Baileys 7, installed from the lock file beside this.
export * from 'baileys';
export { default } from 'baileys';
