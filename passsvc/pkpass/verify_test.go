package pkpass_test

import (
	"archive/zip"
	"bytes"
	"crypto/x509"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc/pkpass"
)

func TestVerify(t *testing.T) {
	t.Parallel()

	t.Run("a good pass", func(t *testing.T) {
		t.Parallel()
		report := newDraft(t).verify(t)
		if len(report.Findings) != 0 || report.SerialNumber != "A1" || !report.SigningTime.Equal(now) {
			t.Errorf("%+v", report)
		}
	})

	t.Run("a good pass of another maker", func(t *testing.T) {
		t.Parallel()
		d := newDraft(t)
		d.sign = others{}.sign(t)
		d.options = func(o *pkpass.VerifyOptions) { o.Now = clock.System{}.Now() } // that library states the time of the call
		if report := d.verify(t); !report.Accepted() {
			t.Errorf("%v", report.Findings)
		}
	})

	t.Run("a good pass of most makers", func(t *testing.T) {
		t.Parallel()
		d := newDraft(t)
		d.sign = signUnsorted(t)
		if report := d.verify(t); len(report.Findings) > 0 {
			t.Errorf("%v", report.Findings)
		}
	})

	root := decodeCertificate(t)
	foreign, err := pkpass.NewThrowawayChain(now, pkpass.ThrowawayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set := func(key string, value any) func(*draft) { return func(d *draft) { d.pass[key] = value } }
	cut := func(key string) func(*draft) { return func(d *draft) { delete(d.pass, key) } }
	signed := func(o others) func(*draft) { return func(d *draft) { d.sign = o.sign(t) } }
	cases := map[string]struct {
		edit func(d *draft)
		want string // part of the finding
	}{
		// the archive
		"empty file":    {func(d *draft) { d.archive = func([]byte) []byte { return nil } }, "refused: the file is empty"},
		"cut off":       {func(d *draft) { d.archive = func(a []byte) []byte { return a[:len(a)/2] } }, "refused: this is not a whole zip"},
		"an error page": {func(d *draft) { d.archive = func([]byte) []byte { return []byte("<html>404</html>") } }, "is it an error page"},
		"enclosing folder": {func(d *draft) {
			d.after = func(files map[string]string) {
				for _, name := range slices.Collect(maps.Keys(files)) {
					files["Ticket.pass/"+name] = files[name]
					delete(files, name)
				}
			}
		}, `refused: pass.json lies in the folder "Ticket.pass/"`},
		"folder entry": {func(d *draft) { d.pack = func(w *zip.Writer) { _, _ = w.Create("de.lproj/") } }, "refused: de.lproj/: is an entry for a folder"},
		"litter": {func(d *draft) {
			d.after = func(files map[string]string) { files["__MACOSX/._icon.png"] = "x" }
		}, "litter of the Finder"},
		"file twice": {func(d *draft) { d.pack = func(w *zip.Writer) { _, _ = w.Create("icon.png") } }, "refused: icon.png: is in the archive twice"},
		"path upwards": {func(d *draft) {
			d.files["../x.png"] = d.files["icon.png"]
		}, "is not a plain relative path"},
		"encrypted": {func(d *draft) {
			d.pack = func(w *zip.Writer) { _, _ = w.CreateHeader(&zip.FileHeader{Name: "secret", Flags: 1}) }
		}, "refused: secret: is encrypted"},
		// the manifest
		"no manifest":        {func(d *draft) { d.after = func(f map[string]string) { delete(f, "manifest.json") } }, "refused: manifest.json: is missing"},
		"manifest no JSON":   {func(d *draft) { d.after = func(f map[string]string) { f["manifest.json"] = "{" } }, "manifest.json: is not a JSON object"},
		"changed after":      {func(d *draft) { d.after = func(f map[string]string) { f["pass.json"] += " " } }, "the hash of pass.json does not fit"},
		"unlisted file":      {func(d *draft) { d.after = func(f map[string]string) { f["notes.txt"] = "x" } }, "does not list notes.txt"},
		"listed, not there":  {func(d *draft) { d.after = func(f map[string]string) { delete(f, "logo.png") } }, "lists logo.png, which is not in the package"},
		"manifest in itself": {func(d *draft) { d.manifest = func(h map[string]any) { h["manifest.json"] = "00" } }, "lists manifest.json"},
		"SHA-256 manifest":   {func(d *draft) { d.manifest = func(h map[string]any) { h["icon.png"] = strings.Repeat("a", 64) } }, "is SHA-256; passes use SHA-1"},
		"hash no string":     {func(d *draft) { d.manifest = func(h map[string]any) { h["icon.png"] = 7 } }, "the hash of icon.png is not a string"},
		// the signature
		"no signature":    {func(d *draft) { d.after = func(f map[string]string) { delete(f, "signature") } }, "refused: signature: is missing"},
		"PEM":             {func(d *draft) { d.after = func(f map[string]string) { f["signature"] = "-----BEGIN CMS-----\n" } }, "is PEM; it must be DER"},
		"S/MIME":          {func(d *draft) { d.after = func(f map[string]string) { f["signature"] = "MIME-Version: 1.0\n" } }, "is an S/MIME text"},
		"no CMS":          {func(d *draft) { d.after = func(f map[string]string) { f["signature"] = "hello" } }, "is not a CMS"},
		"attached":        {signed(others{attached: true}), "it must be detached"},
		"no signing time": {signed(others{bare: true}), "does not state when it was made"},
		"SHA-1":           {signed(others{digest: true}), "warning: signature: uses SHA-1"},
		"no intermediate": {signed(others{noIssuer: true}), "lacks the WWDR intermediate"},
		"other generation": {
			signed(others{noIssuer: true, extra: root}),
			`contains "Throwaway Root CA", but the certificate was issued by`,
		},
		"manifest changed after signing": {func(d *draft) {
			d.after = func(f map[string]string) { f["manifest.json"] = strings.Replace(f["manifest.json"], "{", "{ ", 1) }
		}, "the manifest was changed after signing"},
		"signature changed": {func(d *draft) {
			d.after = func(f map[string]string) {
				b := []byte(f["signature"])
				b[len(b)-3] ^= 0xff
				f["signature"] = string(b)
			}
		}, "was not made by the key of its certificate"},
		"certificate expired": {func(d *draft) {
			d.options = func(o *pkpass.VerifyOptions) { o.Now = now.AddDate(2, 0, 0) }
		}, "the pass certificate expired at"},
		"signed before the certificate": {func(d *draft) {
			_, certificate := newChain(t)
			d.sign = func(manifest []byte) []byte {
				signature, err := pkpass.Sign(manifest, certificate, now.AddDate(-1, 0, 0))
				if err != nil {
					t.Error(err)
				}
				return signature
			}
		}, "when its certificate was not valid"},
		"another root": {func(d *draft) {
			d.options = func(o *pkpass.VerifyOptions) {
				o.Roots = x509.NewCertPool()
				o.Roots.AppendCertsFromPEM(foreign.Root)
			}
		}, "the trust chain could not be verified"},
		"not of Apple":    {func(d *draft) { d.options = func(o *pkpass.VerifyOptions) { o.Roots = nil } }, "warning: signature: the certificate was not issued by Apple"},
		"other pass type": {set("passTypeIdentifier", "pass.other"), `passTypeIdentifier is "pass.other", but the certificate is for "pass.dev.dayof.ticket"`},
		"other team":      {set("teamIdentifier", "OTHERTEAM1"), `teamIdentifier is "OTHERTEAM1", but the certificate is of team`},
		// pass.json
		"no pass.json":          {func(d *draft) { d.pass = nil }, "refused: pass.json: is missing"},
		"no JSON":               {func(d *draft) { d.pass, d.files["pass.json"] = nil, "{\n\"a\": }" }, "is not valid JSON at line 2"},
		"a list":                {func(d *draft) { d.pass, d.files["pass.json"] = nil, "[]" }, "is not a JSON object"},
		"two values":            {func(d *draft) { d.pass, d.files["pass.json"] = nil, "{} {}" }, "something follows its end"},
		"no formatVersion":      {cut("formatVersion"), "lacks the key formatVersion"},
		"formatVersion as text": {set("formatVersion", "1"), "formatVersion is a string, but must be a number"},
		"formatVersion 2":       {set("formatVersion", 2), "there is only 1"},
		"no description":        {cut("description"), "lacks the key description"},
		"serial is a number":    {set("serialNumber", 7), "serialNumber is a number, but must be a string"},
		"empty serial":          {set("serialNumber", ""), "serialNumber is empty"},
		"null":                  {set("logoText", nil), "logoText is null"},
		"voided as text":        {set("voided", "true"), "voided is a string, but must be true or false"},
		"short token":           {set("authenticationToken", "short"), "authenticationToken has 5 characters"},
		"no token":              {cut("authenticationToken"), "but no authenticationToken"},
		"http":                  {set("webServiceURL", "http://pass.example"), "warning: pass.json: webServiceURL is plain http"},
		"ftp":                   {set("webServiceURL", "ftp://pass.example"), "webServiceURL must be https"},
		"v1":                    {set("webServiceURL", "https://pass.example/v1/"), "webServiceURL ends in /v1"},
		"never updates":         {cut("webServiceURL"), "warning: pass.json: has no webServiceURL"},
		"fractions":             {set("relevantDate", "2027-03-01T20:00:00.123+01:00"), "fractions of a second"},
		"no time zone":          {set("expirationDate", "2027-03-01T20:00:00"), "lacks the time zone"},
		"no date":               {set("expirationDate", "1 March"), "is no date"},
		"expired pass":          {set("expirationDate", "2020-03-01T20:00:00Z"), "warning: pass.json: expirationDate"},
		"long interval": {
			set("relevantDates", []any{map[string]any{"startDate": "2027-03-01T20:00:00Z", "endDate": "2027-03-03T20:00:00Z"}}),
			"it may last 24 hours",
		},
		"eleven places": {set("locations", slices.Repeat([]any{map[string]any{"latitude": 1, "longitude": 1}}, 11)), "has 11 locations"},
		"no latitude":   {set("locations", []any{map[string]any{"longitude": 1}}), "locations[0].latitude is no number"},
		"color":         {set("backgroundColor", "#ff0000"), "backgroundColor is"},
		"nfc":           {set("nfc", map[string]any{"message": "x"}), "nfc needs a certificate"},
		"barcode format": {
			set("barcodes", []any{map[string]any{"format": "QR", "message": "x", "messageEncoding": "utf-8"}}),
			"barcodes[0].format is QR",
		},
		"empty barcode":    {set("barcode", map[string]any{"format": "PKBarcodeFormatQR", "message": "", "messageEncoding": "utf-8"}), "barcode.message must be a string that is not empty"},
		"barcode encoding": {set("barcode", map[string]any{"format": "PKBarcodeFormatQR", "message": "票", "messageEncoding": "iso-8859-1"}), "iso-8859-1 cannot write"},
		"no encoding":      {set("barcode", map[string]any{"format": "PKBarcodeFormatQR", "message": "x"}), "barcode lacks messageEncoding"},
		"no style":         {cut("eventTicket"), "has no style"},
		"two styles":       {set("coupon", map[string]any{}), "has several styles (coupon, eventTicket)"},
		"key twice":        {func(d *draft) { d.field(0)["key"] = "event" }, `has the key "event", which eventTicket.primaryFields[0] has too`},
		"no key":           {func(d *draft) { delete(d.field(0), "key") }, "eventTicket.auxiliaryFields[0] lacks its key"},
		"no value":         {func(d *draft) { delete(d.field(0), "value") }, "eventTicket.auxiliaryFields[0] lacks its value"},
		"value is true":    {func(d *draft) { d.field(0)["value"] = true }, "value is true or false, but must be a string or a number"},
		"label is number":  {func(d *draft) { d.field(0)["label"] = 4 }, "label is a number, but must be a string"},
		"silent change":    {func(d *draft) { d.field(0)["changeMessage"] = "Changed" }, "warning: pass.json: eventTicket.auxiliaryFields[0].changeMessage"},
		"price as text":    {func(d *draft) { d.field(1)["value"] = "89.50" }, "has currencyCode, but its value is a string"},
		"mixed styles":     {func(d *draft) { d.field(1)["dateStyle"] = "PKDateStyleNone" }, "mixes date, currency and number styles"},
		"date style":       {func(d *draft) { d.field(2)["value"] = "tonight" }, `value is "tonight", which is no date`},
		"unknown style":    {func(d *draft) { d.field(2)["dateStyle"] = "long" }, `dateStyle is "long", which iOS does not know`},
		"fields no list":   {func(d *draft) { d.event()["backFields"] = map[string]any{} }, "backFields is an object, but must be an array"},
		// types, at any depth
		"store ids as text":   {set("associatedStoreIdentifiers", []any{"551768478"}), "associatedStoreIdentifiers[0] is a string, but must be a number"},
		"schemes of numbers":  {set("preferredStyleSchemes", []any{"eventTicket", 1}), "preferredStyleSchemes[1] is a number, but must be a string"},
		"beacon's major":      {set("beacons", []any{map[string]any{"proximityUUID": "F8F589E9-C07E-58B0-AEAB-A36BE4D48FAC", "major": "1"}}), "beacons[0].major is a string"},
		"a beacon as text":    {set("beacons", []any{"near"}), "beacons[0] is a string, but must be an object"},
		"altitude as text":    {set("locations", []any{map[string]any{"latitude": 1, "longitude": 1, "altitude": "34"}}), "locations[0].altitude is a string"},
		"a place as text":     {set("locations", []any{"Berlin"}), "locations[0] is a string, but must be an object"},
		"a barcode's altText": {set("barcodes", []any{map[string]any{"format": "PKBarcodeFormatQR", "message": "x", "messageEncoding": "utf-8", "altText": 1}}), "barcodes[0].altText is a number"},
		"relevance as number": {set("relevantDates", []any{map[string]any{"date": 1}}), "relevantDates[0].date is a number, but must be a string"},
		"seats no list":       {set("semantics", map[string]any{"seats": map[string]any{}}), "semantics.seats is an object, but must be an array"},
		"a seat as text":      {set("semantics", map[string]any{"seats": []any{"A1"}}), "semantics.seats[0] is a string, but must be an object"},
		"seat number":         {set("semantics", map[string]any{"seats": []any{map[string]any{"seatNumber": 7}}}), "semantics.seats[0].seatNumber is a number"},
		"venue's place":       {set("semantics", map[string]any{"venueLocation": map[string]any{"latitude": "52.5"}}), "semantics.venueLocation.latitude is a string"},
		"performers":          {set("semantics", map[string]any{"performerNames": "Ada"}), "semantics.performerNames is a string, but must be an array"},
		"a field's semantics": {func(d *draft) { d.field(0)["semantics"] = map[string]any{"duration": "2h"} }, "eventTicket.auxiliaryFields[0].semantics.duration is a string"},
		"detectors":           {func(d *draft) { d.field(0)["dataDetectorTypes"] = "none" }, "dataDetectorTypes is a string, but must be an array"},
		"relative as text":    {func(d *draft) { d.field(0)["isRelative"] = "true" }, "isRelative is a string, but must be true or false"},
		"a field as text":     {func(d *draft) { d.event()["backFields"] = []any{"Terms"} }, "eventTicket.backFields[0] is a string, but must be an object"},
		// images and translations
		"no icon":          {func(d *draft) { delete(d.files, "icon.png") }, "refused: icon.png: is missing"},
		"icon is a JPEG":   {func(d *draft) { d.files["icon.png"] = "\xff\xd8\xff\xe0" }, "refused: icon.png: is not a PNG image"},
		"damaged image":    {func(d *draft) { d.files["logo.png"] = d.files["logo.png"][:20] }, "logo.png: is a damaged PNG"},
		"unknown image":    {func(d *draft) { d.files["photo.png"] = d.files["icon.png"] }, "warning: photo.png: is no image that iOS knows"},
		"strip and more":   {func(d *draft) { d.files["thumbnail.png"] = d.files["icon.png"] }, "warning: strip.png: is there beside"},
		"open quote":       {func(d *draft) { d.files["de.lproj/pass.strings"] = "/* c */\n\"A\" = \"B\"C\";\n" }, "refused: de.lproj/pass.strings: line 2 is not of the form"},
		"latin1 text":      {func(d *draft) { d.files["de.lproj/pass.strings"] = "\"A\" = \"\xfc\";" }, "is neither UTF-8 nor UTF-16"},
		"strings anywhere": {func(d *draft) { d.files["pass.strings"] = "" }, "warning: pass.strings: is not in a folder"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDraft(t)
			tc.edit(d)
			report := d.verify(t)
			var all []string
			for _, f := range report.Findings {
				all = append(all, f.String())
			}
			text := strings.Join(all, "\n")
			if !strings.Contains(text, tc.want) {
				t.Errorf("want %q in:\n%s", tc.want, text)
			}
			if strings.Contains(tc.want, "warning") == strings.Contains(text, "refused: ") {
				t.Errorf("accepted %v:\n%s", report.Accepted(), text)
			}
		})
	}
}

// TestOpenSSLAgrees compares our outcome for signatures with openssl's.
func TestOpenSSLAgrees(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Log("openssl is not installed; CI has it")
		return
	}
	chain, _ := newChain(t)
	cases := map[string]struct {
		edit func(d *draft)
		good bool
	}{
		"good":             {func(*draft) {}, true},
		"not sorted":       {func(d *draft) { d.sign = signUnsorted(t) }, true},
		"PEM":              {func(d *draft) { d.after = func(f map[string]string) { f["signature"] = "-----BEGIN CMS-----\n" } }, false},
		"S/MIME":           {func(d *draft) { d.after = func(f map[string]string) { f["signature"] = "MIME-Version: 1.0\n" } }, false},
		"no CMS":           {func(d *draft) { d.after = func(f map[string]string) { f["signature"] = "hello" } }, false},
		"cut off":          {func(d *draft) { d.after = func(f map[string]string) { f["signature"] = f["signature"][:900] } }, false},
		"other generation": {func(d *draft) { d.sign = others{noIssuer: true, extra: decodeCertificate(t)}.sign(t) }, false},
		"key of another":   {func(d *draft) { d.sign = signByAnother(t) }, false},
		"no intermediate":  {func(d *draft) { d.sign = others{noIssuer: true}.sign(t) }, false},
		"manifest changed": {func(d *draft) { d.after = func(f map[string]string) { f["manifest.json"] += " " } }, false},
		"signature changed": {func(d *draft) {
			d.after = func(f map[string]string) {
				b := []byte(f["signature"])
				b[len(b)-3] ^= 0xff
				f["signature"] = string(b)
			}
		}, false},
	}
	for name, tc := range cases {
		d := newDraft(t)
		tc.edit(d)
		if output, err := opensslVerify(t, d.build(t), chain.Root); (err == nil) != tc.good {
			t.Errorf("%s: openssl: %v %s", name, err, output)
		}
		if report := d.verify(t); report.Accepted() != tc.good {
			t.Errorf("%s: we: %v", name, report.Findings)
		}
	}
}

// FuzzVerify looks for contents that make us panic.
func FuzzVerify(f *testing.F) {
	d := newDraft(f)
	var files map[string]string
	d.after = func(all map[string]string) { files = maps.Clone(all) }
	d.build(f)
	f.Add(files["pass.json"], files["manifest.json"], files["signature"], files["de.lproj/pass.strings"], files["icon.png"])
	f.Fuzz(func(t *testing.T, pass, manifest, signature, translation, icon string) {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for name, data := range map[string]string{
			"pass.json": pass, "manifest.json": manifest, "signature": signature, "de.lproj/pass.strings": translation, "icon.png": icon,
		} {
			entry, err := w.CreateHeader(&zip.FileHeader{Name: name})
			if err == nil {
				_, err = entry.Write([]byte(data))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		pkpass.Verify(out.Bytes(), pkpass.VerifyOptions{Now: now})
	})
}
