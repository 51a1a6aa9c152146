package main

import "testing"

// TestMutationsFit applies every patch to the tree: one that does not fit any more finds no bug.
func TestMutationsFit(t *testing.T) {
	t.Chdir("../..") // patches name files from the root
	dir := t.TempDir()
	for _, m := range mutations() {
		if _, err := patched(t.Context(), dir, m, t.Output()); err != nil {
			t.Error(err)
		}
	}
}
