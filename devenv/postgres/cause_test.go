package postgres

import "testing"

// TestCauseOf finds the one line that says why initdb failed.
func TestCauseOf(t *testing.T) {
	t.Parallel()
	const preamble = "The files belonging to this database system will be owned by user \"dayof\".\n\nfixing permissions on existing directory /data ... ok\n"
	for want, output := range map[string]string{
		`could not create directory "/data/pg_wal": No space left on device`: preamble +
			"creating subdirectories ... initdb: error: x\n" + "initdb: error: could not create directory \"/data/pg_wal\": No space left on device\ninitdb: removing contents of data directory \"/data\"\n",
		"could not map anonymous shared memory: Cannot allocate memory": preamble +
			"running bootstrap script ... 2026-05-01 12:00:00 UTC [1] FATAL:  could not map anonymous shared memory: Cannot allocate memory\nchild process exited with exit code 1\ninitdb: removing data directory \"/data\"\n",
		"error while loading shared libraries: libpq.so.5": "error while loading shared libraries: libpq.so.5\n",
		"it says nothing": "\n",
	} {
		if got := causeOf(output); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
