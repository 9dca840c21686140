// Counts the messages of each person in a table of its own and answers them. apt install golang-github-jackc-pgx-v4-dev
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

const answer = `WITH v AS (INSERT INTO visitor AS v (chat) VALUES ($2)
	ON CONFLICT (chat) DO UPDATE SET messages = v.messages + 1 RETURNING messages)
INSERT INTO wa.outbound (session, recipient, body) SELECT $1, $2, format('Message %s: %s', messages, $3::text) FROM v`

// Counts, answers and acknowledges the next message in one transaction; pgx.ErrNoRows when there is none.
func turn(ctx context.Context, tx pgx.Tx) (err error) {
	var id, session, chat, body, skip = int64(0), "", "", "", false
	next := tx.QueryRow(ctx, `SELECT id, session, chat, body, from_me OR chat LIKE '%@g.us' FROM wa.claim_messages('bot', 1)`)
	if err = next.Scan(&id, &session, &chat, &body, &skip); err == nil && !skip {
		_, err = tx.Exec(ctx, answer, session, chat, body)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `SELECT wa.acknowledge_messages('bot', ARRAY[$1::bigint])`, id)
	}
	return err
}

func serve(ctx context.Context) error {
	db, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close(context.Background())
	_, err = db.Exec(ctx, "LISTEN wa_inbound")
	for err == nil || pgconn.Timeout(err) && ctx.Err() == nil {
		err = db.BeginFunc(ctx, func(tx pgx.Tx) error { return turn(ctx, tx) })
		if errors.Is(err, pgx.ErrNoRows) {
			wait, cancel := context.WithTimeout(ctx, 30*time.Second) // and look now and then
			_, err = db.WaitForNotification(wait)
			cancel()
		}
	}
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		log.Print("connection ended: ", serve(ctx))
		time.Sleep(time.Second)
	}
}
