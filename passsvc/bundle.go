package passsvc

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/dayof/dayof/internal/locale"
	"github.com/dayof/dayof/passsvc/passdb"
)

const (
	// bundleMax is how many passes Apple allows in one .pkpasses.
	bundleMax       = 10
	bundleMediaType = "application/vnd.apple.pkpasses"
)

// OrderURL returns the link to the page of all tickets of an order. Whoever has it has them all.
func (s *Service) OrderURL(orderID string) (string, error) {
	link, err := s.keys.link(s.keys.newest, purposeOrder, orderID)
	if err != nil {
		return "", err
	}
	return s.Config.PublicURL + "/o/" + link, nil
}

// linkedOrder returns the passes of the order whose link was opened, or answers.
func (s ticketPages) linkedOrder(w http.ResponseWriter, r *http.Request) ([]passdb.Pass, bool) {
	orderID, ok := s.keys.openLink(r.PathValue("signed"), purposeOrder)
	if !ok {
		s.wrongLink(w, r)
		return nil, false
	}
	rows, err := s.q.ListOrderPasses(r.Context(), s.Pool, orderID)
	if err != nil {
		s.pageError(w, r, fmt.Errorf("list passes: %w", err))
		return nil, false
	}
	rows, err = ofBuyer(rows)
	if err != nil {
		s.pageError(w, r, err)
		return nil, false
	}
	if len(rows) == 0 {
		s.wrongLink(w, r)
		return nil, false
	}
	return rows, !s.refuseExpired(w, r, rows[0])
}

// ofBuyer leaves out passes that are somebody else's.
func ofBuyer(rows []passdb.Pass) ([]passdb.Pass, error) {
	var own []passdb.Pass
	for _, row := range rows {
		c, err := decodeContent(row)
		if err != nil {
			return nil, err
		}
		if !c.HolderOnly {
			own = append(own, row)
		}
	}
	return own, nil
}

// serveOrder serves the page of an order.
func (s ticketPages) serveOrder(w http.ResponseWriter, r *http.Request) {
	rows, ok := s.linkedOrder(w, r)
	if !ok {
		return
	}
	var bundles []linkModel
	admitting, err := admittingPasses(rows)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	first, err := decodeContent(rows[0])
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	// One pass needs no bundle, which fewer programs understand.
	for i := 0; len(admitting) > 1 && i < len(admitting); i += bundleMax {
		label := say(locale.Nearest(first.Language), phraseAddAllToApple)
		if len(admitting) > bundleMax {
			label += fmt.Sprintf(" (%d–%d)", i+1, min(i+bundleMax, len(admitting)))
		}
		bundles = append(bundles, linkModel{
			Href: "../o/" + r.PathValue("signed") + "/tickets-" + strconv.Itoa(i/bundleMax+1) + ".pkpasses", Label: label,
		})
	}
	s.writePage(w, r, rows, bundles)
}

// admittingPasses leaves out void ones.
func admittingPasses(rows []passdb.Pass) ([]passdb.Pass, error) {
	var admitting []passdb.Pass
	for _, row := range rows {
		c, err := decodeContent(row)
		if err != nil {
			return nil, err
		}
		if !c.admitsNobody() {
			admitting = append(admitting, row)
		}
	}
	return admitting, nil
}

// serveBundle serves up to ten passes of an order in one file: tickets-1.pkpasses holds the first ten.
func (s ticketPages) serveBundle(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("bundle")
	number, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, "tickets-"), ".pkpasses"))
	if err != nil || number < 1 || name != fmt.Sprintf("tickets-%d.pkpasses", number) {
		s.wrongLink(w, r)
		return
	}
	rows, ok := s.linkedOrder(w, r)
	if !ok {
		return
	}
	admitting, err := admittingPasses(rows)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	from := (number - 1) * bundleMax
	if from >= len(admitting) {
		s.wrongLink(w, r)
		return
	}
	if !s.validity.known(r.Context(), admitting) {
		s.answerNotValidYet(w, r, admitting[0])
		return
	}
	bundle, err := s.bundle(r, admitting[from:min(from+bundleMax, len(admitting))])
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", bundleMediaType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Length", strconv.Itoa(len(bundle)))
	_, _ = w.Write(bundle)
}

func (s ticketPages) bundle(r *http.Request, rows []passdb.Pass) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i, row := range rows {
		pass, err := s.cache.get(r.Context(), row.PassType, row.Serial)
		if err != nil {
			return nil, err
		}
		entry, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("ticket-%d.pkpass", i+1), Method: zip.Store})
		if err == nil {
			_, err = pass.archive.WriteTo(entry)
		}
		if err != nil {
			return nil, fmt.Errorf("write bundle: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	return out.Bytes(), nil
}
