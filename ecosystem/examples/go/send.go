package main

import (
	"context"
	"log"
	"os"

	"github.com/jackc/pgx/v4" // apt install golang-github-jackc-pgx-v4-dev
)

func main() {
	ctx := context.Background()
	db, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err == nil {
		_, err = db.Exec(ctx, "INSERT INTO wa.outbound (session, recipient, body) VALUES ($1, $2, $3)",
			"shop", "+15550002", "Hello from Go")
	}
	if err != nil {
		log.Fatal(err)
	}
}
