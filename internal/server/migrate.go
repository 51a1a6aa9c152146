package server

import (
	"context"
	"fmt"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

// Migrate brings a service's database up to date and does nothing else.
func Migrate(ctx context.Context, name string, getenv func(string) string) error {
	b, err := builderOf(name)
	if err != nil {
		return err
	}
	loader := config.New(getenv)
	databaseURL := loadDatabaseURL(loader, name)
	if err := loader.Err(); err != nil {
		return err
	}
	pool, err := pgdb.Open(ctx, databaseURL, pgdb.Options{ApplicationName: "dayof migrate"})
	if err != nil {
		return err
	}
	defer pool.Close()
	return b.migrate(ctx, pool)
}

// MigrateAll migrates the services of some names, or those whose database is set where no name is given. It returns the
// names of those that are up to date.
func MigrateAll(ctx context.Context, names []string, getenv func(string) string) ([]string, error) {
	if len(names) == 0 {
		var settings []string
		for _, name := range Services() {
			setting := SettingPrefix(name) + "DATABASE_URL"
			settings = append(settings, setting)
			if getenv(setting) != "" || getenv(setting+"_FILE") != "" {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("nothing to migrate: set one of %v", settings)
		}
	}
	var done []string
	for _, name := range names {
		if err := Migrate(ctx, name, getenv); err != nil {
			return done, fmt.Errorf("%s: %w", name, err)
		}
		done = append(done, name)
	}
	return done, nil
}
