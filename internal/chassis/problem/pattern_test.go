package problem

import "testing"

// TestPatternInWords has patterns of our schemas.
func TestPatternInWords(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"^[A-Za-z0-9_]{16,64}$":          "must be an id: 21 letters and digits (from elsewhere 16 to 64, and _)",
		"^([A-Za-z0-9_]{16,64})?$":       "must be empty or an id: 21 letters and digits (from elsewhere 16 to 64, and _)",
		"^pi_[A-Za-z0-9_]{1,250}$":       `must be "pi_", then 1 to 250 letters, digits or _`,
		"^(re|pyr)_[A-Za-z0-9_]{1,250}$": `must be "re" or "pyr", then "_", then 1 to 250 letters, digits or _`,
		"^(du|dp)_[A-Za-z0-9_]{1,250}$":  `must be "d", then one of p or u, then "_", then 1 to 250 letters, digits or _`,
		"^[0-9]{4}-[0-9]{2}$":            `must be 4 digits, then "-", then 2 digits`,
		"^[a-z][a-z0-9_]{0,63}$":         "must be one of small letters, then 0 to 63 small letters, digits or _",
		"^([A-Z]{3})?$":                  "must be empty or 3 capital letters",
		"^[a-z]+(:[a-z]+)*$":             `must be 1 or more small letters, then any number of times (":", then 1 or more small letters)`,
		"(":                              "must match (",
	} {
		if got := patternInWords(pattern); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}
