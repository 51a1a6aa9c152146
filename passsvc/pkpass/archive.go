package pkpass

import (
	"crypto/sha1" //nolint:gosec // Apple's manifest is defined with SHA-1; the signature over it uses SHA-256
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"time"
)

// File is one file of a package.
type File struct {
	Name string // path in the package, such as "pass.json" or "de.lproj/pass.strings"
	Data []byte

	hashes *fileHashes // nil: to be computed
}

type fileHashes struct {
	sum [sha1.Size]byte
	crc uint32
}

// Hashed returns f with its hashes, for a file that goes into many packages. Its data must not be changed afterwards.
func (f File) Hashed() File {
	f.hashes = f.hash()
	return f
}

func (f File) hash() *fileHashes {
	if f.hashes != nil {
		return f.hashes
	}
	return &fileHashes{sum: sha1.Sum(f.Data), crc: crc32.ChecksumIEEE(f.Data)} //nolint:gosec // see above
}

// The names that Apple gives to the files that every package has.
const (
	passFile      = "pass.json"
	manifestFile  = "manifest.json"
	signatureFile = "signature"
)

// Design holds the files that many passes share, mostly images: hashed and laid out once, kept in memory once.
// It is immutable.
type Design struct {
	files  []File
	zip    zipWriter // the shared beginning of each archive
	hashes []manifestEntry
	digest [sha1.Size]byte
}

// NewDesign prepares shared files. Their data must not be changed afterwards.
func NewDesign(files []File) *Design {
	d := &Design{files: slices.Clone(files)}
	all := sha1.New() //nolint:gosec // see above
	for i, f := range d.files {
		f = f.Hashed()
		d.files[i] = f
		d.zip.add(f)
		entry := newManifestEntry(f)
		d.hashes = append(d.hashes, entry)
		all.Write([]byte(entry.name))
		all.Write(entry.sum[:])
	}
	all.Sum(d.digest[:0])
	return d
}

// Digest is different for every different design.
func (d *Design) Digest() []byte { return d.digest[:] }

// Build returns the signed package of the design and files, of which pass.json must be one. Names must be unique over
// both. It is a pure function: equal arguments give equal bytes. It takes about as long as one RSA signature.
func (d *Design) Build(files []File, c *Certificate, signingTime time.Time) (Archive, error) {
	entries := make([]manifestEntry, 0, len(d.hashes)+len(files))
	entries = append(entries, d.hashes...)
	own := make([]File, 0, len(files)+2)
	for _, f := range files {
		own = append(own, f.Hashed())
		entries = append(entries, newManifestEntry(own[len(own)-1]))
	}
	manifest := manifestJSON(entries)
	signature, err := Sign(manifest, c, signingTime)
	if err != nil {
		return Archive{}, err
	}
	own = append(own, File{Name: manifestFile, Data: manifest}, File{Name: signatureFile, Data: signature})
	z := newZipWriter(len(d.zip.out), d.zip.entries, own)
	for _, f := range own {
		z.add(f)
	}
	z.finish()
	return Archive{Shared: d.zip.out, Own: z.out}, nil
}

// Archive is a built package: its bytes are Shared followed by Own. Shared belongs to the design, so that a cache
// of many archives holds the images once.
type Archive struct {
	Shared []byte
	Own    []byte
}

// Size is the length in bytes.
func (a Archive) Size() int { return len(a.Shared) + len(a.Own) }

// Bytes returns a copy in one piece.
func (a Archive) Bytes() []byte { return slices.Concat(a.Shared, a.Own) }

// WriteTo implements io.WriterTo.
func (a Archive) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(a.Shared)
	if err != nil {
		return int64(n), err
	}
	m, err := w.Write(a.Own)
	return int64(n + m), err
}

type manifestEntry struct {
	name string
	sum  [sha1.Size]byte
}

func newManifestEntry(f File) manifestEntry {
	return manifestEntry{name: f.Name, sum: f.hash().sum}
}

// manifestJSON writes the object by hand, in the order given: it is small and must always be the same bytes.
func manifestJSON(entries []manifestEntry) []byte {
	out := make([]byte, 0, 80*len(entries))
	for i, e := range entries {
		out = append(out, "{,"[min(i, 1)])
		out = strconv.AppendQuote(out, e.name)
		out = append(out, ':', '"')
		out = hex.AppendEncode(out, e.sum[:])
		out = append(out, '"')
	}
	return append(out, '}')
}

// zipWriter writes stored zip entries with fixed times: PNGs do not shrink, the rest is small, and equal files must
// give equal archives. Sizes are far below what needs zip64. Source: PKWARE APPNOTE 6.3.
type zipWriter struct {
	out     []byte
	offset  int // of out in the whole archive
	entries []zipEntry
}

type zipEntry struct {
	name   string
	crc    uint32
	size   uint32
	offset uint32
}

const (
	zipVersion  = 20       // 2.0: folders
	zipFlagUTF8 = 1 << 11  // names are UTF-8
	zipDate     = 1<<5 | 1 // 1980-01-01, the first day there is; its time is 0
)

// newZipWriter returns a writer that goes on where one with entries ended, with room for files and the directory: what
// it makes is kept for long, and should not be copied around nor be larger than it is.
func newZipWriter(offset int, entries []zipEntry, files []File) zipWriter {
	const localHeader, centralHeader, end = 30, 46, 22
	size := end
	for _, e := range entries {
		size += centralHeader + len(e.name)
	}
	for _, f := range files {
		size += localHeader + centralHeader + 2*len(f.Name) + len(f.Data)
	}
	all := make([]zipEntry, 0, len(entries)+len(files))
	return zipWriter{offset: offset, entries: append(all, entries...), out: make([]byte, 0, size)}
}

func (z *zipWriter) add(f File) {
	e := zipEntry{
		name: f.Name, crc: f.hash().crc, size: uint32(len(f.Data)), offset: uint32(z.offset + len(z.out)),
	}
	z.entries = append(z.entries, e)
	z.out = append(z.out, "PK\x03\x04"...)
	z.common(e)
	z.out = append(z.out, e.name...)
	z.out = append(z.out, f.Data...)
}

// common writes what local and central headers share: from the version needed to the length of the extra field.
func (z *zipWriter) common(e zipEntry) {
	z.put16(zipVersion, zipFlagUTF8, 0, 0, zipDate)
	z.put32(e.crc, e.size, e.size)
	z.put16(uint16(len(e.name)), 0)
}

// finish writes the central directory.
func (z *zipWriter) finish() {
	start := z.offset + len(z.out)
	for _, e := range z.entries {
		z.out = append(z.out, "PK\x01\x02"...)
		z.put16(zipVersion)
		z.common(e)
		z.put16(0, 0, 0) // comment, disk, internal attributes
		z.put32(0, e.offset)
		z.out = append(z.out, e.name...)
	}
	size := z.offset + len(z.out) - start
	z.out = append(z.out, "PK\x05\x06"...)
	z.put16(0, 0, uint16(len(z.entries)), uint16(len(z.entries)))
	z.put32(uint32(size), uint32(start))
	z.put16(0)
}

func (z *zipWriter) put16(values ...uint16) {
	for _, v := range values {
		z.out = binary.LittleEndian.AppendUint16(z.out, v)
	}
}

func (z *zipWriter) put32(values ...uint32) {
	for _, v := range values {
		z.out = binary.LittleEndian.AppendUint32(z.out, v)
	}
}
