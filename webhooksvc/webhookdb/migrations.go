// Package webhookdb is webhooksvc's database: its migrations, its queries and the code that sqlc makes of them.
package webhookdb

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations returns the migrations, numbered files at the root.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic("webhookdb: the embedded migrations folder has another name: " + err.Error())
	}
	return sub
}
