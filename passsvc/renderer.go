package passsvc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/internal/timezone"
	"github.com/dayof/dayof/passsvc/artwork"
	"github.com/dayof/dayof/passsvc/pkpass"
)

// templateVersion is part of every entity tag. Raise it when the same content is to be shown in another way, so that
// old and new replicas never give different bytes the same tag.
const templateVersion = 2

// eventsKept is of how many events the translations are kept, at about 16 kB each.
const eventsKept = 256

// revisionState is all that an archive is made from, besides the certificate and this release.
type revisionState struct {
	Serial      string
	PassType    string
	Revision    int64
	ContentHash []byte
	KeyVersion  int
	ReviseTime  time.Time // when the revision was made, by the clock
	ModifyTime  time.Time // what devices get as Last-Modified, in whole seconds: see nextModifyTime
	Content     content
}

// renderer makes archives. It is a pure function of what it is given, on every replica.
type renderer struct {
	keys          keyRing
	webServiceURL string
	design        *pkpass.Design
	translations  map[[2]string][]byte // by language and by the language of the literals

	mu       sync.Mutex
	ofEvents map[[2]string][]pkpass.File // of translated, by the language of the literals and by the event's name
}

func newRenderer(keys keyRing, webServiceURL string) (*renderer, error) {
	r := &renderer{
		keys: keys, webServiceURL: webServiceURL,
		translations: map[[2]string][]byte{}, ofEvents: map[[2]string][]pkpass.File{},
	}
	images, err := fs.ReadDir(artwork.Images, ".")
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var files []pkpass.File
	for _, image := range images {
		data, err := fs.ReadFile(artwork.Images, image.Name())
		if err != nil {
			return nil, fmt.Errorf("read image: %w", err)
		}
		files = append(files, pkpass.File{Name: image.Name(), Data: data})
	}
	r.design = pkpass.NewDesign(files)
	for _, literal := range locale.Languages() {
		for _, language := range locale.Languages() {
			r.translations[[2]string{language, literal}] = passStrings(language, literal)
		}
	}
	return r, nil
}

// etag returns the strong entity tag of a revision signed with certificate, with its quotes.
func (r *renderer) etag(s revisionState, certificate *pkpass.Certificate) string {
	h := sha256.New()
	for _, part := range []string{
		r.webServiceURL, string(r.design.Digest()), certificate.Fingerprint, s.PassType, s.Serial, string(s.ContentHash),
	} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	for _, number := range []int64{templateVersion, s.Revision, int64(s.KeyVersion), s.ReviseTime.Unix()} {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(number))
		h.Write(b[:])
	}
	return fmt.Sprintf(`"%d-%s"`, s.Revision, base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:15]))
}

// archive builds the signed package of a revision. It takes about as long as one RSA signature.
func (r *renderer) archive(s revisionState, certificate *pkpass.Certificate) (pkpass.Archive, error) {
	token, err := r.keys.deviceToken(s.KeyVersion, s.PassType, s.Serial)
	if err != nil {
		return pkpass.Archive{}, err
	}
	zone, err := timezone.Load(s.Content.Event.TimeZone)
	if err != nil {
		return pkpass.Archive{}, fmt.Errorf("time zone of event %s: %w", s.Content.Event.ID, err)
	}
	rendered, err := renderPass(s.Content, passIdentity{
		PassType: s.PassType, Team: certificate.TeamIdentifier, Serial: s.Serial, Token: token, WebServiceURL: r.webServiceURL,
	}, zone)
	if err != nil {
		return pkpass.Archive{}, err
	}
	files := []pkpass.File{{Name: "pass.json", Data: rendered}}
	literal := locale.Nearest(s.Content.Language)
	translated := r.translated(literal, s.Content.Event.Name)
	if s.Content.isUsed() {
		translated = withUsedStrings(translated, literal)
	}
	files = append(files, translated...)
	return r.design.Build(files, certificate, certificate.SigningTime(s.ReviseTime))
}

// translated returns the pass.strings of all languages for passes of an event that are written in the language literal.
// They are the same for all of its passes, and kept until there are too many.
func (r *renderer) translated(literal, eventName string) []pkpass.File {
	key := [2]string{literal, eventName}
	r.mu.Lock()
	files, known := r.ofEvents[key]
	r.mu.Unlock()
	if known {
		return files
	}
	for _, language := range locale.Languages() {
		shared := r.translations[[2]string{language, literal}]
		files = append(files, pkpass.File{
			Name: language + ".lproj/pass.strings",
			// The capacity is cut so that appending copies.
			Data: descriptionString(slices.Clip(shared), language, literal, eventName),
		}.Hashed())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ofEvents) >= eventsKept {
		clear(r.ofEvents)
	}
	r.ofEvents[key] = files
	return files
}

// withUsedStrings is what translated returns, for a pass that shows that it was used. Nothing else says so: the files of all others stay
// as they were.
func withUsedStrings(translated []pkpass.File, literal string) []pkpass.File {
	files := make([]pkpass.File, 0, len(translated))
	for i, language := range locale.Languages() {
		f := translated[i]
		files = append(files, pkpass.File{Name: f.Name, Data: usedStrings(slices.Clip(f.Data), language, literal)}.Hashed())
	}
	return files
}
