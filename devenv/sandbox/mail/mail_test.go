package mail_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/devenv/sandbox/mail"
	"github.com/dayof/dayof/internal/chassis/clock"
)

var now = time.Date(2027, 3, 1, 20, 0, 0, 0, time.UTC)

type sink struct {
	*mail.Server
	t      *testing.T
	faults *fault.Faults
}

func newSink(t *testing.T) *sink {
	t.Helper()
	faults := fault.New(1)
	srv, err := mail.Start(mail.Config{Clock: clock.NewFake(now), Logger: slog.New(slog.DiscardHandler), Faults: faults})
	if err != nil {
		t.Fatalf("start sink: %v", err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Errorf("close sink: %v", err)
		}
	})
	return &sink{Server: srv, t: t, faults: faults}
}

// send sends one receipt with a calendar file and a binary attachment.
func (s *sink) send(ctx context.Context) error {
	s.t.Helper()
	host, portText, err := net.SplitHostPort(s.Addr())
	if err != nil {
		s.t.Fatalf("address: %v", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		s.t.Fatalf("port: %v", err)
	}
	client, err := gomail.NewClient(host, gomail.WithPort(port), gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithTimeout(2*time.Minute))
	if err != nil {
		s.t.Fatalf("make client: %v", err)
	}
	m := gomail.NewMsg()
	for _, err := range []error{m.From("tickets@example.test"), m.To("erika@example.test", "otto@example.test")} {
		if err != nil {
			s.t.Fatalf("address: %v", err)
		}
	}
	m.Subject("Deine Karten für „Größe“")
	m.SetBodyString(gomail.TypeTextPlain, "Viel Vergnügen!\r\n")
	m.AddAlternativeString(gomail.TypeTextHTML, "<p>Viel Vergnügen!</p>\r\n")
	for name, content := range map[string]string{"event.ics": "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "ticket.pkpass": "PK\x03\x04\xff\xfe"} {
		if err := m.AttachReader(name, strings.NewReader(content)); err != nil {
			s.t.Fatalf("attach: %v", err)
		}
	}
	return client.DialAndSendWithContext(ctx, m)
}

func TestMessageIsTakenApart(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	if err := s.send(t.Context()); err != nil {
		t.Fatalf("send: %v", err)
	}
	log := httptest.NewServer(s.Server)
	t.Cleanup(log.Close)
	read := func(query string) []mail.Message {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, log.URL+query, nil)
		if err != nil {
			t.Fatalf("make request: %v", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("read log: %v", err)
		}
		defer res.Body.Close()
		var messages []mail.Message
		if err := json.NewDecoder(res.Body).Decode(&messages); err != nil {
			t.Fatalf("decode log: %v", err)
		}
		return messages
	}
	messages := read("")
	if len(messages) != 1 {
		t.Fatalf("%d messages, want 1", len(messages))
	}
	m := messages[0]
	if m.From != "tickets@example.test" || strings.Join(m.To, ",") != "erika@example.test,otto@example.test" || !m.Time.Equal(now) {
		t.Errorf("envelope %s -> %v at %s", m.From, m.To, m.Time)
	}
	if m.Subject != "Deine Karten für „Größe“" || m.Text != "Viel Vergnügen!\r\n" || m.HTML != "<p>Viel Vergnügen!</p>\r\n" || m.Problem != "" {
		t.Errorf("subject %q, text %q, html %q, problem %q", m.Subject, m.Text, m.HTML, m.Problem)
	}
	var files []string
	for _, p := range m.Parts {
		if p.Disposition == "attachment" {
			files = append(files, p.Filename+" "+p.Encoding+" "+p.Content)
		}
	}
	slices.Sort(files)
	want := "event.ics utf-8 BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n|ticket.pkpass base64 UEsDBP/+"
	if got := strings.Join(files, "|"); got != want {
		t.Errorf("attachments %q, want %q", got, want)
	}
	if len(read("?to=otto")) != 1 || len(read("?to=nobody")) != 0 {
		t.Error("the log cannot be narrowed to a recipient")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for mode, c := range map[fault.Mode]struct {
		refused bool
		kept    int
	}{
		fault.Refuse: {true, 0}, fault.ServerError: {true, 0}, fault.TooMany: {true, 0}, fault.Slow: {false, 1},
		fault.LostReply: {true, 1}, fault.HalfBody: {true, 1},
	} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := newSink(t)
			if err := s.faults.Set(fault.Mail, fault.Fault{Mode: mode, Rate: 1, LatencyMS: 1}); err != nil {
				t.Fatalf("set fault: %v", err)
			}
			err := s.send(t.Context())
			if (err != nil) != c.refused || len(s.Messages()) != c.kept {
				t.Fatalf("got %v and %d messages kept, want refused %t and %d", err, len(s.Messages()), c.refused, c.kept)
			}
			s.faults.ClearAll()
			if err := s.send(t.Context()); err != nil || len(s.Messages()) != c.kept+1 {
				t.Fatalf("after the fault: %v, %d messages", err, len(s.Messages()))
			}
		})
	}
}

func TestHang(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	if err := s.faults.Set(fault.Mail, fault.Fault{Mode: fault.Hang, Rate: 1}); err != nil {
		t.Fatalf("set fault: %v", err)
	}
	sent := make(chan error, 1)
	go func() { sent <- s.send(t.Context()) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for s.faults.List()[fault.Mail].Hits == 0 {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("the message never came to DATA")
		}
	}
	select {
	case err := <-sent:
		t.Fatalf("the sender was answered: %v", err)
	default:
	}
	s.faults.ClearAll()
	if err := <-sent; err == nil || len(s.Messages()) != 0 {
		t.Fatalf("got %v and %d messages, want an error and none", err, len(s.Messages()))
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	new(mail.Log).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", nil))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Fatalf("status %d", rec.Code)
	}
	_, _ = io.Copy(io.Discard, rec.Body)
}
