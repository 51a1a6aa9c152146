package ticketcode_test

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/internal/chassis/config"
)

// A scanner fetches the public keys once, by AdmissionService.GetCodeKeys, and then verifies codes without a connection.
func ExamplePublicKeys_Verify() {
	seed := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	keys, err := ticketcode.NewKeys([]config.Secret{config.NewSecret(seed)})
	if err != nil {
		fmt.Println(err)
		return
	}
	code := keys.Sign("V1StGXR8Z5jdHi6BmyT01", "4f90d13a42cE7a8bQ2wXz", keys.Current())

	scanner := keys.Public()
	ticket, event, ok := scanner.Verify(code)
	fmt.Println(ticket, event, ok)

	_, _, ok = scanner.Verify(code[:len(code)-1] + "A") // one character changed
	fmt.Println(ok)
	// Output:
	// V1StGXR8Z5jdHi6BmyT01 4f90d13a42cE7a8bQ2wXz true
	// false
}
