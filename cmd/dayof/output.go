package main

import (
	"encoding/json"
	"fmt"

	"github.com/dayof/dayof/devenv/client"
)

// defaultDevFile is where `dayof up` writes its addresses unless -data says otherwise.
const defaultDevFile = ".dayof/dev.json"

// printJSON prints one value: on one line with -json, indented for people otherwise.
func (w world) printJSON(value any) error {
	encoder := json.NewEncoder(w.stdout)
	encoder.SetEscapeHTML(false)
	if !w.json {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// client reaches the running dayof that -dev names.
func (w world) client() (*client.Client, error) {
	file, err := client.ReadFile(w.devFile)
	if err != nil {
		return nil, err
	}
	return client.NewClient(file), nil
}
