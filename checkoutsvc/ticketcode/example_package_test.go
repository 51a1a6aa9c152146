package ticketcode_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/config"
)

// A scanner verifies the offline package of AdmissionService.GetOfflinePackage before it reads it, and then looks tickets up in it.
func ExamplePublicKeys_VerifyPackage() {
	keys, err := ticketcode.NewKeys([]config.Secret{config.NewSecret(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))})
	if err != nil {
		fmt.Println(err)
		return
	}
	hash := func(ticketID string) []byte {
		sum := sha256.Sum256([]byte(ticketID))
		return sum[:8]
	}
	answer := &checkoutv1.GetOfflinePackageResponse{}
	answer.Package, err = proto.Marshal(&checkoutv1.OfflinePackage{
		EventId: "4f90d13a42cE7a8bQ2wXz", Full: true, Used: hash("V1StGXR8Z5jdHi6BmyT01"), Void: hash("V1StGXR8Z5jdHi6BmyT02"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer.Signature, answer.KeyVersion = keys.SignPackage(answer.GetPackage())

	scanner := keys.Public() // what it fetched by GetCodeKeys when it enrolled
	fmt.Println(scanner.VerifyPackage(answer.GetPackage(), answer.GetSignature(), answer.GetKeyVersion()))
	p := &checkoutv1.OfflinePackage{}
	if err := proto.Unmarshal(answer.GetPackage(), p); err != nil {
		fmt.Println(err)
		return
	}
	states := map[string]string{}
	for state, list := range map[string][]byte{"used": p.GetUsed(), "void": p.GetVoid(), "on hold": p.GetSuspended()} {
		for ; len(list) >= 8; list = list[8:] {
			states[string(list[:8])] = state
		}
	}
	for _, ticket := range []string{"V1StGXR8Z5jdHi6BmyT01", "V1StGXR8Z5jdHi6BmyT02", "V1StGXR8Z5jdHi6BmyT03"} {
		fmt.Printf("%s %q\n", ticket, states[string(hash(ticket))])
	}
	fmt.Println(scanner.VerifyPackage(append(answer.GetPackage(), 0), answer.GetSignature(), answer.GetKeyVersion())) // one byte more
	// Output:
	// true
	// V1StGXR8Z5jdHi6BmyT01 "used"
	// V1StGXR8Z5jdHi6BmyT02 "void"
	// V1StGXR8Z5jdHi6BmyT03 ""
	// false
}
