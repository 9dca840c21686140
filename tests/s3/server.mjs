// An S3 server with the bucket "media" in the folder FOLDER, on a free port that it writes to stdout. Ends when stdin closes.
import S3rver from 's3rver';

const { FOLDER: directory } = process.env;
if (!directory) throw new Error('FOLDER must be set');
const server = new S3rver({ directory, port: 0, address: '127.0.0.1', silent: true, configureBuckets: [{ name: 'media', configs: [] }] });
const { port } = await server.run();
process.stdout.write(`${port}\n`);
process.stdin.on('end', () => process.exit()).resume();
