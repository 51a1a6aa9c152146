package main

import (
	"encoding/json"
	"fmt"

	"github.com/dayof/dayof/devenv/client"
)

// defaultDevFile is where `dayof up` writes its addresses unless -data says otherwise.
const defaultDevFile = ".dayof/dev.json"

// printJSON prints one value: on one line with -json, indented for people otherwise.
func (h host) printJSON(value any) error {
	encoder := json.NewEncoder(h.stdout)
	encoder.SetEscapeHTML(false)
	if !h.json {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// client reaches the running dayof that -dev names.
func (h host) client() (*client.Client, error) {
	file, err := client.ReadFile(h.devFile)
	if err != nil {
		return nil, err
	}
	return client.NewClient(file), nil
}
