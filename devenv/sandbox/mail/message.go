package mail

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Message is one accepted mail as the log shows it.
type Message struct {
	From    string    `json:"from"` // of the envelope, as the recipients
	To      []string  `json:"to"`
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	// Header holds all header lines, decoded.
	Header map[string][]string `json:"header"`
	Text   string              `json:"text"` // the first text/plain part
	HTML   string              `json:"html"` // the first text/html part
	Parts  []Part              `json:"parts"`
	// Problem says why a message could not be taken apart; Raw is there anyway.
	Problem string `json:"problem,omitempty"`
	Raw     string `json:"raw"`
}

// Part is one leaf of the MIME tree, its transfer encoding undone.
type Part struct {
	ContentType string `json:"content_type"`
	Disposition string `json:"disposition,omitempty"`
	Filename    string `json:"filename,omitempty"`
	ContentID   string `json:"content_id,omitempty"`
	// Encoding is "utf-8" when Content is the text itself, else "base64".
	Encoding string `json:"encoding"`
	Content  string `json:"content"`
}

// partsMax bounds the leaves of one message.
const partsMax = 100

func newMessage(from string, to []string, now time.Time, raw []byte) Message {
	m := Message{From: from, To: append([]string{}, to...), Time: now, Raw: string(raw), Parts: []Part{}}
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		m.Problem = err.Error()
		return m
	}
	decoder := new(mime.WordDecoder)
	m.Header = make(map[string][]string, len(parsed.Header))
	for name, values := range parsed.Header {
		for _, v := range values {
			if decoded, err := decoder.DecodeHeader(v); err == nil {
				v = decoded
			}
			m.Header[name] = append(m.Header[name], v)
		}
	}
	m.Subject = strings.Join(m.Header["Subject"], " ")
	if err := m.take(textproto.MIMEHeader(parsed.Header), parsed.Body); err != nil {
		m.Problem = err.Error()
	}
	return m
}

// take adds the leaves of one part of the MIME tree.
func (m *Message) take(header textproto.MIMEHeader, body io.Reader) error {
	contentType := header.Get("Content-Type")
	if contentType == "" {
		contentType = "text/plain; charset=us-ascii"
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if strings.HasPrefix(media, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for len(m.Parts) < partsMax {
			part, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := m.take(part.Header, part); err != nil {
				return err
			}
		}
		return nil
	}
	content, err := io.ReadAll(decoded(header.Get("Content-Transfer-Encoding"), body))
	if err != nil {
		return err
	}
	m.leaf(media, header, content)
	return nil
}

func (m *Message) leaf(media string, header textproto.MIMEHeader, content []byte) {
	part := Part{ContentType: header.Get("Content-Type"), ContentID: header.Get("Content-Id"), Encoding: "utf-8", Content: string(content)}
	if disposition, params, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil {
		part.Disposition, part.Filename = disposition, params["filename"]
	}
	if !utf8.Valid(content) {
		part.Encoding, part.Content = "base64", base64.StdEncoding.EncodeToString(content)
	}
	m.Parts = append(m.Parts, part)
	if part.Disposition == "attachment" {
		return
	}
	switch {
	case media == "text/plain" && m.Text == "":
		m.Text = part.Content
	case media == "text/html" && m.HTML == "":
		m.HTML = part.Content
	}
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	}
	return body
}

// Log is what was accepted, oldest first. It answers GET with a JSON array and forgets everything on DELETE.
type Log struct {
	mu       sync.Mutex
	messages []Message
}

func (l *Log) add(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, m)
}

// Messages returns a copy, newest last.
func (l *Log) Messages() []Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Message{}, l.messages...)
}

// ServeHTTP implements http.Handler. ?to= narrows the log to one recipient.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodDelete:
		l.mu.Lock()
		l.messages = nil
		l.mu.Unlock()
	default:
		w.Header().Set("Allow", "GET, HEAD, DELETE")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	messages := []Message{}
	for _, m := range l.Messages() {
		if to := r.URL.Query().Get("to"); to == "" || strings.Contains(strings.Join(m.To, " "), to) {
			messages = append(messages, m)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(messages) // the reader may be gone
}
