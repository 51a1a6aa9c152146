// Package id makes the ids that people see.
package id

import gonanoid "github.com/matoous/go-nanoid/v2"

// Alphabet has no - and no _: they look like flags on a command line.
const Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Length of an id: 21 of 62 letters and digits are 125 random bits.
const Length = 21

// New returns a NanoID of 21 letters and digits.
func New() string { return gonanoid.MustGenerate(Alphabet, Length) }
