// Drizzle: an order and its message in one transaction. npm install drizzle-orm pg
import { drizzle } from 'drizzle-orm/node-postgres';
import { bigserial, pgSchema, pgTable, serial, text } from 'drizzle-orm/pg-core';
import { sql } from 'drizzle-orm';

const purchase = pgTable('purchase', { id: serial().primaryKey(), phone: text().notNull() });
// For reading. Drizzle's insert names every column, and wa_app may not write id: so insert by SQL.
const outbound = pgSchema('wa').table('outbound', {
  id: bigserial({ mode: 'number' }).primaryKey(),
  session: text().notNull(),
  recipient: text().notNull(),
  body: text(),
});

const db = drizzle(process.env.DATABASE_URL);
await db.transaction(async (tx) => {
  const [order] = await tx.insert(purchase).values({ phone: '+15550002' }).returning();
  await tx.execute(sql`INSERT INTO wa.outbound (session, recipient, body)
    VALUES ('shop', ${order.phone}, ${`Order ${order.id} is on its way`})`);
});
const { rows } = await db.execute(sql`SELECT wa.send_text('shop', '+15550002', 'Thank you') AS id`);
console.log(rows[0].id);
console.log((await db.select({ body: outbound.body }).from(outbound).orderBy(outbound.id)).map((row) => row.body));
await db.$client.end();
