package passsvc

import (
	"bytes"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/mail"
	"strings"

	"github.com/dayof/dayof/internal/locale"
)

// notice is a page for somebody whose link opens nothing: it says what the link was and whom to ask.
type notice struct {
	status              int
	language            string // one of locale.Languages
	organizer, event    string // of the link; empty: not known
	title, text, refers func(noticeWords) string
}

// noticeWords are the texts of notices in one language. "{event}" and "{organizer}" stand for names.
type noticeWords struct {
	WrongTitle, Wrong         string // a link that we did not make
	ExpiredTitle, Expired     string // one that is too old
	FailedTitle, Failed       string // one that cannot be shown for now
	AskOrganizer, AskSeller   string // whom to ask; the seller where the organiser is not known
	OpenAgain, AskWithContact string
}

func noticeWordsOf(language string) noticeWords {
	switch language {
	case "de":
		return noticeWords{
			WrongTitle: "Dieser Link führt zu keinem Ticket", Wrong: "Er war ein Link zu einem Ticket oder einer Bestellung, ist aber unvollständig oder verändert. Das geschieht, wenn ein Mailprogramm ihn umbricht.",
			OpenAgain:    "Öffne den Link noch einmal direkt aus der Mail mit deinen Tickets.",
			ExpiredTitle: "Dieser Link ist abgelaufen", Expired: "Er führte zu deinen Tickets für {event}. Die Veranstaltung ist vorbei.",
			FailedTitle: "Dein Ticket kann gerade nicht gezeigt werden", Failed: "Der Link ist in Ordnung. Bitte versuche es in einer Minute noch einmal.",
			AskOrganizer: "Fragen beantwortet {organizer}.", AskSeller: "Fragen beantwortet der Veranstalter, bei dem du gekauft hast; die Bestellnummer steht in deiner Mail.",
			AskWithContact: "Hilfe bekommst du hier:",
		}
	case "es":
		return noticeWords{
			WrongTitle: "Este enlace no abre ninguna entrada", Wrong: "Era un enlace a una entrada o a un pedido, pero está incompleto o modificado. Ocurre cuando un programa de correo lo corta.",
			OpenAgain:    "Vuelve a abrirlo directamente desde el correo con tus entradas.",
			ExpiredTitle: "Este enlace ha caducado", Expired: "Llevaba a tus entradas para {event}. El evento ya ha terminado.",
			FailedTitle: "Ahora no podemos mostrar tu entrada", Failed: "El enlace es correcto. Inténtalo de nuevo en un minuto.",
			AskOrganizer: "Si tienes preguntas, dirígete a {organizer}.", AskSeller: "Si tienes preguntas, dirígete al organizador al que compraste; el número de pedido está en tu correo.",
			AskWithContact: "Aquí te ayudamos:",
		}
	case "fr":
		return noticeWords{
			WrongTitle: "Ce lien n’ouvre aucun billet", Wrong: "C’était un lien vers un billet ou une commande, mais il est incomplet ou modifié. Cela arrive quand un logiciel de messagerie le coupe.",
			OpenAgain:    "Ouvrez-le à nouveau directement depuis l’e-mail contenant vos billets.",
			ExpiredTitle: "Ce lien a expiré", Expired: "Il menait à vos billets pour {event}. L’événement est terminé.",
			FailedTitle: "Votre billet ne peut pas être affiché pour le moment", Failed: "Le lien est correct. Réessayez dans une minute.",
			AskOrganizer: "Pour toute question, adressez-vous à {organizer}.", AskSeller: "Pour toute question, adressez-vous à l’organisateur chez qui vous avez acheté ; le numéro de commande figure dans votre e-mail.",
			AskWithContact: "Vous trouverez de l’aide ici :",
		}
	case "it":
		return noticeWords{
			WrongTitle: "Questo link non apre alcun biglietto", Wrong: "Era un link a un biglietto o a un ordine, ma è incompleto o modificato. Succede quando un programma di posta lo spezza.", //nolint:misspell // Italian
			OpenAgain:    "Aprilo di nuovo direttamente dall’e-mail con i tuoi biglietti.",
			ExpiredTitle: "Questo link è scaduto", Expired: "Portava ai tuoi biglietti per {event}. L’evento è terminato.", //nolint:misspell // Italian
			FailedTitle: "Al momento non possiamo mostrare il tuo biglietto", Failed: "Il link è corretto. Riprova tra un minuto.", //nolint:misspell // Italian
			AskOrganizer: "Per domande rivolgiti a {organizer}.", AskSeller: "Per domande rivolgiti all’organizzatore da cui hai acquistato; il numero d’ordine è nella tua e-mail.",
			AskWithContact: "Qui trovi aiuto:",
		}
	case "nl":
		return noticeWords{
			WrongTitle: "Deze link opent geen ticket", Wrong: "Het was een link naar een ticket of een bestelling, maar hij is onvolledig of veranderd. Dat gebeurt als een mailprogramma hem afbreekt.",
			OpenAgain:    "Open hem opnieuw, rechtstreeks vanuit de mail met je tickets.",
			ExpiredTitle: "Deze link is verlopen", Expired: "Hij leidde naar je tickets voor {event}. Het evenement is voorbij.",
			FailedTitle: "Je ticket kan nu niet worden getoond", Failed: "De link klopt. Probeer het over een minuut opnieuw.",
			AskOrganizer: "Met vragen kun je terecht bij {organizer}.", AskSeller: "Met vragen kun je terecht bij de organisator waar je hebt gekocht; het bestelnummer staat in je mail.",
			AskWithContact: "Hier vind je hulp:",
		}
	}
	return noticeWords{
		WrongTitle: "This link does not open a ticket", Wrong: "It was a link to a ticket or an order, but it is incomplete or changed. That happens when a mail program breaks it.",
		OpenAgain:    "Open it again, straight from the mail with your tickets.",
		ExpiredTitle: "This link has expired", Expired: "It led to your tickets for {event}. The event is over.",
		FailedTitle: "Your ticket cannot be shown right now", Failed: "The link is fine. Please try again in a minute.",
		AskOrganizer: "{organizer} answers your questions.", AskSeller: "The organiser you bought from answers your questions; the number of your order is in your mail.",
		AskWithContact: "You find help here:",
	}
}

// wrongLink answers a link that we did not make, or made and no longer know.
func (s ticketPages) wrongLink(w http.ResponseWriter, r *http.Request) {
	s.writeNotice(w, r, notice{
		status: http.StatusNotFound, language: acceptedLanguage(r),
		title: func(n noticeWords) string { return n.WrongTitle }, text: func(n noticeWords) string { return n.Wrong },
		refers: func(n noticeWords) string { return n.OpenAgain },
	})
}

// expiredLink answers a link that was good once.
func (s ticketPages) expiredLink(w http.ResponseWriter, r *http.Request, c content) {
	s.writeNotice(w, r, notice{
		status: http.StatusGone, language: locale.Nearest(c.Language), organizer: c.OrganizerName, event: c.Event.Name,
		title: func(n noticeWords) string { return n.ExpiredTitle }, text: func(n noticeWords) string { return n.Expired },
	})
}

// failedLink answers a link that cannot be shown for now.
func (s ticketPages) failedLink(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", retryAfterSeconds)
	s.writeNotice(w, r, notice{
		status: http.StatusServiceUnavailable, language: acceptedLanguage(r),
		title: func(n noticeWords) string { return n.FailedTitle }, text: func(n noticeWords) string { return n.Failed },
	})
}

// noticeModel is what the template "notice" shows.
type noticeModel struct {
	Language, Title string
	Logo            template.URL
	Paragraphs      []string
	Ask             string
	ContactHref     template.URL // empty: no link
	Contact         string
}

// writeNotice sends a notice: a page to browsers, its sentences to programs.
func (s ticketPages) writeNotice(w http.ResponseWriter, r *http.Request, n notice) {
	words := noticeWordsOf(n.language)
	fill := strings.NewReplacer("{event}", n.event, "{organizer}", n.organizer)
	m := noticeModel{Language: n.language, Logo: s.pages.logo, Title: n.title(words), Paragraphs: []string{fill.Replace(n.text(words))}, Ask: words.AskSeller}
	if n.refers != nil {
		m.Paragraphs = append(m.Paragraphs, n.refers(words))
	}
	if n.organizer != "" {
		m.Ask = fill.Replace(words.AskOrganizer)
	}
	if contact := s.Config.SupportContact; contact != "" {
		m.Ask, m.Contact = words.AskWithContact, contact
		m.ContactHref = template.URL(contact) //nolint:gosec // a setting of ours
		if !strings.Contains(contact, "://") {
			m.ContactHref = template.URL("mailto:" + contact) //nolint:gosec // a setting of ours
		}
	}
	h := w.Header()
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(n.status)
		_, _ = w.Write([]byte(strings.TrimSpace(m.Title+". "+strings.Join(m.Paragraphs, " ")+" "+m.Ask+" "+m.Contact) + "\n"))
		return
	}
	var out bytes.Buffer
	if err := s.pages.template.ExecuteTemplate(&out, "notice", m); err != nil {
		s.Logger.LogAttrs(r.Context(), slog.LevelError, "page failed", slog.String("pattern", r.Pattern), slog.Any("error", err))
		http.Error(w, m.Title, n.status)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(n.status)
	_, _ = w.Write(out.Bytes())
}

// checkContact refuses a contact that no page can link to.
func checkContact(contact string) error {
	if contact == "" || strings.HasPrefix(contact, "https://") || strings.HasPrefix(contact, "http://") {
		return nil
	}
	if parsed, err := mail.ParseAddress(contact); err != nil || parsed.Address != contact {
		return errors.New("DAYOF_PASS_SUPPORT_CONTACT: must be a mail address or a URL with https://")
	}
	return nil
}

// acceptedLanguage is the first language of ours that a browser asks for. Weights are ignored: browsers list by them.
func acceptedLanguage(r *http.Request) string {
	for tag := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		if language := locale.Nearest(tag); language != locale.Default || strings.HasPrefix(strings.ToLower(tag), locale.Default) {
			return language
		}
	}
	return locale.Default
}
