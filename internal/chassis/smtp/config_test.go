package smtp

import "testing"

// TestModeByPort is about what is right where nobody said how the server wants it.
func TestModeByPort(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		host string
		port int
		want TLS
	}{
		{"mail.example.org", 465, TLSImplicit},
		{"127.0.0.1", 465, TLSImplicit},
		{"mail.example.org", 587, TLSStart},
		{"mail.example.org", 25, TLSStart},
		{"10.0.0.1", 1025, TLSStart},
		{"localhost", 1025, TLSOptional},
		{"127.0.0.1", 1025, TLSOptional},
		{"::1", 25, TLSOptional},
	} {
		if got, err := (Config{}).mode(tc.host, tc.port); err != nil || got != tc.want {
			t.Errorf("%s:%d is %s, %v; want %s", tc.host, tc.port, got, err, tc.want)
		}
	}
}
