package smtp

import (
	"errors"
	"net/mail"
	"strings"
)

// localMax is how many bytes may stand before the @. Source: RFC 5321, section 4.5.3.1.1.
const localMax = 64

// addressMax is how long an address may be: a path of 256 bytes less its brackets. Source: RFC 5321, section 4.5.3.1.3.
const addressMax = 254

// errAddress says what is wrong without repeating the address, which is somebody's.
var errAddress = errors.New("is not a mail address")

// ParseAddress returns an address as it stands in an envelope and in a header: "erika@example.org" as it is,
// "taro..yamada@docomo.ne.jp" as `"taro..yamada"@docomo.ne.jp`, because dots that are misplaced in an atom are fine in
// quotes. It takes addr-specs of ASCII atoms and a host name, without a display name or comments. Whoever takes addresses
// that mail will be sent to asks it: Send takes what it takes, and nothing else.
//
// The error does not contain the address. Source: RFC 5321, section 4.1.2.
func ParseAddress(text string) (string, error) {
	at := strings.LastIndexByte(text, '@')
	if at < 1 || at > localMax || len(text) > addressMax {
		return "", errAddress
	}
	local, domain := text[:at], text[at+1:]
	if len(local) > 2 && strings.HasPrefix(local, `"`) && strings.HasSuffix(local, `"`) {
		local = local[1 : len(local)-1]
	}
	if strings.ContainsFunc(local, func(r rune) bool { return r != '.' && !isAtom(r) }) || !isHost(domain) {
		return "", errAddress
	}
	// The library decides what needs quotes.
	written := strings.Trim((&mail.Address{Address: local + "@" + domain}).String(), "<>")
	if parsed, err := mail.ParseAddress(written); err != nil || parsed.Address != local+"@"+domain {
		return "", errAddress
	}
	return written, nil
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// isAtom is atext of RFC 5322, section 3.2.3.
func isAtom(r rune) bool { return isAlphanumeric(r) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r) }

// isHost is a host name of RFC 1123, section 2.1.
func isHost(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return r != '-' && !isAlphanumeric(r) }) {
			return false
		}
	}
	return true
}
