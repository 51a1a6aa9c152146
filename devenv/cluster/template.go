package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dayof/dayof/devenv/sandbox/ledger"
	"github.com/dayof/dayof/internal/chassis/pgdb"
	"github.com/dayof/dayof/internal/server"
)

// MakeTemplate prepares c.DataDir to be the Template of other clusters: with secrets and the databases of all services up to date, but
// without anything that a service has written. Starting from it saves making and migrating them, which is most of a start. Clusters with
// one template have the same secrets.
func MakeTemplate(ctx context.Context, c Config) error {
	m := newCluster(c)
	if err := m.openDirectory(); err != nil {
		return err
	}
	err := m.startPostgres(ctx)
	if err == nil {
		err = m.migrate(ctx)
	}
	return errors.Join(err, m.Stop(ctx))
}

// migrate brings the databases of all services and of the sandbox ledger up to date.
func (m *Cluster) migrate(ctx context.Context) error {
	for _, service := range server.Services() {
		getenv := func(name string) string {
			if name == server.SettingPrefix(service)+"DATABASE_URL" {
				return m.Postgres.URL(m.database(service))
			}
			return ""
		}
		if err := server.Migrate(ctx, service, getenv); err != nil {
			return fmt.Errorf("migrate %s: %w", service, err)
		}
	}
	pool, err := pgdb.Open(ctx, m.Postgres.URL(m.database("sandbox_ledger")), pgdb.Options{ApplicationName: "dayof migrate"})
	if err != nil {
		return err
	}
	defer pool.Close()
	return ledger.Migrate(ctx, pool)
}

// makeTemporary makes a temporary directory, with the secrets of the template.
func (m *Cluster) makeTemporary() (string, error) {
	dir, err := os.MkdirTemp("", "dayof-")
	if err != nil || m.config.Template == "" {
		return dir, err
	}
	s, err := loadSecrets(m.config.Template, m.config.Clock.Now())
	if err != nil {
		return dir, fmt.Errorf("read the template's secrets: %w", err)
	}
	return dir, writeSecrets(filepath.Join(dir, secretsFile), s)
}

// postgresTemplate is where the template keeps its databases.
func (m *Cluster) postgresTemplate() string {
	if m.config.Template == "" {
		return ""
	}
	return filepath.Join(m.config.Template, "postgres")
}
