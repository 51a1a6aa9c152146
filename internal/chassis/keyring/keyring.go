// Package keyring reads secret keys that are rotated: each has a version, new
// things are made with the newest, and old ones are kept as long as anything
// lives that was made with them.
package keyring

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dayof/dayof/internal/chassis/config"
)

// Keys are secrets by version.
type Keys struct {
	secrets map[int]string
	newest  int
}

// Parse reads keys that are each written as "version:secret", in any order; one
// without a version is version 1. It refuses none at all, a version below 1 or
// twice, and secrets of less than lengthMin characters.
func Parse(written []config.Secret, lengthMin int) (Keys, error) {
	keys := Keys{secrets: make(map[int]string, len(written))}
	for _, s := range written {
		version, secret := 1, s.Reveal()
		if number, rest, ok := strings.Cut(secret, ":"); ok {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 {
				return Keys{}, errors.New("write each key as version:secret, with a version from 1")
			}
			version, secret = n, rest
		}
		if len(secret) < lengthMin {
			return Keys{}, fmt.Errorf("key %d is shorter than %d characters", version, lengthMin)
		}
		if _, twice := keys.secrets[version]; twice {
			return Keys{}, fmt.Errorf("key %d is there twice", version)
		}
		keys.secrets[version] = secret
		keys.newest = max(keys.newest, version)
	}
	if keys.newest == 0 {
		return Keys{}, errors.New("no key is set")
	}
	return keys, nil
}

// Newest is the highest version: what is made now is made with it.
func (k Keys) Newest() int { return k.newest }

// Secret returns the key of a version, and whether there is one.
func (k Keys) Secret(version int) (secret string, ok bool) {
	secret, ok = k.secrets[version]
	return secret, ok
}

// Versions returns all versions, the oldest first.
func (k Keys) Versions() []int { return slices.Sorted(maps.Keys(k.secrets)) }
