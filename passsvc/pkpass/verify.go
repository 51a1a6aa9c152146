package pkpass

import (
	"archive/zip"
	"bytes"
	"crypto/sha1" //nolint:gosec // Apple's manifest is defined with SHA-1
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Severity says what a finding means for the pass.
type Severity string

const (
	// Refused is a reason for which iOS does not install the pass, or rejects the update and keeps the old one.
	Refused Severity = "refused"
	// Warning is something that iOS puts up with, or that is right only during development.
	Warning Severity = "warning"
)

// Finding is one thing that is wrong with a package, in plain words.
type Finding struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file"` // in the package; empty: the package itself
	Message  string   `json:"message"`
}

// String is one line for people.
func (f Finding) String() string {
	if f.File == "" {
		return string(f.Severity) + ": " + f.Message
	}
	return string(f.Severity) + ": " + f.File + ": " + f.Message
}

// Report is what Verify found out.
type Report struct {
	PassTypeIdentifier string    `json:"pass_type_identifier"`
	TeamIdentifier     string    `json:"team_identifier"`
	SerialNumber       string    `json:"serial_number"`
	SigningTime        time.Time `json:"signing_time"`
	Findings           []Finding `json:"findings"`
}

// Accepted reports whether nothing was found for which iOS refuses the pass.
func (r *Report) Accepted() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Refused })
}

// VerifyOptions say as when and whom to trust.
type VerifyOptions struct {
	Now time.Time
	// Roots must have issued the signing chain; nil accepts any chain, and warns when it does not look like Apple's.
	Roots *x509.CertPool
}

const (
	// filesMax and fileMax bound what is read of a package, whoever made it.
	filesMax = 500
	fileMax  = 16 << 20
	// sizeWanted is above what every push should make a device download.
	sizeWanted = 500 << 10
)

// Verify reports what iOS would find wrong with a package: all reasons of which it knows, not only the first. Source:
// Apple's TN2302, "Wallet Passes", and reports of developers.
func Verify(archive []byte, o VerifyOptions) *Report {
	v := &verifier{options: o, report: &Report{}, files: map[string][]byte{}}
	if !v.unzip(archive) {
		return v.report
	}
	if len(archive) > sizeWanted {
		v.warn("", "the package has %d kB; every update makes the device download it whole, keep it below %d kB", len(archive)>>10, sizeWanted>>10)
	}
	v.manifest()
	v.pass()
	v.images()
	v.translations()
	v.signature()
	return v.report
}

// verifier collects findings about one package.
type verifier struct {
	options VerifyOptions
	report  *Report
	files   map[string][]byte
}

func (v *verifier) refuse(file, format string, args ...any) {
	v.report.Findings = append(v.report.Findings, Finding{Refused, file, fmt.Sprintf(format, args...)})
}

func (v *verifier) warn(file, format string, args ...any) {
	v.report.Findings = append(v.report.Findings, Finding{Warning, file, fmt.Sprintf(format, args...)})
}

// unzip reads the files. It returns false when there is nothing to check.
func (v *verifier) unzip(archive []byte) bool {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	switch {
	case err != nil && len(archive) == 0:
		v.refuse("", "the file is empty")
		return false
	case err != nil:
		v.refuse("", "this is not a whole zip archive (%v): was the download cut off, or is it an error page?", err)
		return false
	case len(r.File) > filesMax:
		v.refuse("", "the archive has %d entries; a pass has a few dozen at most", len(r.File))
		return false
	}
	for _, f := range r.File {
		v.entry(f)
	}
	if _, ok := v.files[passFile]; !ok {
		v.missingPass()
	}
	return true
}

// entry reads one entry of the archive.
func (v *verifier) entry(f *zip.File) {
	base := path.Base(f.Name)
	switch {
	case strings.HasSuffix(f.Name, "/"):
		v.refuse(f.Name, "is an entry for a folder; a pass lists files only (zip with -D)")
		return
	case strings.HasPrefix(f.Name, "__MACOSX/"), base == ".DS_Store", strings.HasPrefix(base, "._"):
		v.refuse(f.Name, "is litter of the Finder that the manifest does not list; zip with -X and without it")
	case strings.HasPrefix(f.Name, "/"), strings.Contains(f.Name, `\`), slices.Contains(strings.Split(f.Name, "/"), ".."):
		v.refuse(f.Name, "is not a plain relative path")
	}
	if _, twice := v.files[f.Name]; twice {
		v.refuse(f.Name, "is in the archive twice")
		return
	}
	const encrypted = 1
	if f.Flags&encrypted != 0 {
		v.refuse(f.Name, "is encrypted")
		return
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		v.refuse(f.Name, "is compressed by method %d; only stored and deflated entries are read", f.Method)
		return
	}
	data, err := read(f)
	if err != nil {
		v.refuse(f.Name, "cannot be read: %v", err)
	}
	v.files[f.Name] = data
}

func read(f *zip.File) ([]byte, error) {
	content, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, fileMax+1))
	if err == nil && len(data) > fileMax {
		return nil, errors.New("it is larger than any file of a pass")
	}
	return data, err
}

// missingPass explains the absence of pass.json.
func (v *verifier) missingPass() {
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if folder, base := path.Split(name); base == passFile {
			v.refuse("", "pass.json lies in the folder %q; zip the files themselves, not the folder around them", folder)
			return
		}
	}
	v.refuse(passFile, "is missing")
}

// manifest compares the hashes of the manifest with the files, both ways.
func (v *verifier) manifest() {
	data, ok := v.files[manifestFile]
	if !ok {
		v.refuse(manifestFile, "is missing")
		return
	}
	var hashes map[string]any
	if err := json.Unmarshal(data, &hashes); err != nil {
		v.refuse(manifestFile, "is not a JSON object of names and hashes: %v", err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		content, there := v.files[name]
		hash, isString := hashes[name].(string)
		sum := sha1.Sum(content) //nolint:gosec // see above
		switch {
		case name == manifestFile || name == signatureFile:
			v.refuse(manifestFile, "lists %s; it must list every other file and neither itself nor the signature", name)
		case !isString:
			v.refuse(manifestFile, "the hash of %s is not a string", name)
		case !there:
			v.refuse(manifestFile, "lists %s, which is not in the package", name)
		case len(hash) == 64:
			v.refuse(manifestFile, "the hash of %s is SHA-256; passes use SHA-1 (orders use SHA-256)", name)
		case hash == strings.ToUpper(hex.EncodeToString(sum[:])):
			v.warn(manifestFile, "the hash of %s is in upper case; Apple writes lower case", name)
		case hash != hex.EncodeToString(sum[:]):
			v.refuse(manifestFile, "the hash of %s does not fit: the file was changed after the manifest was made", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if _, listed := hashes[name]; !listed && name != manifestFile && name != signatureFile {
			v.refuse(manifestFile, "does not list %s, which is in the package", name)
		}
	}
}
