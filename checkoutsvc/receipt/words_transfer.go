package receipt

// transferWords are the texts of mails about tickets that change hands, in one language. "{event}" stands for the event's name, "{sender}" and
// "{recipient}" for names, and "{time}" for the end of an offer.
type transferWords struct {
	OfferSubject, Offered, Answer     string // to the recipient, before the link
	WithdrawnSubject, Withdrawn       string // to the recipient
	AcceptedSubject, Accepted         string // to the sender
	DeclinedSubject, Declined         string // to the sender
	ExpiredSubject, Expired           string // to the sender
	TicketSubject, Ticket, OpenTicket string // to the holder of a new ticket; the last before its link
}

// transferWordsOf returns the texts in one of locale.Languages.
func transferWordsOf(language string) transferWords {
	switch language {
	case "de":
		return transferWords{
			OfferSubject:     "Ein Ticket für {event} für dich",
			Offered:          "{sender} möchte dir ein Ticket für {event} übertragen.",
			Answer:           "Nimm es bis {time} hier an, oder lehne es ab",
			WithdrawnSubject: "Das Ticket für {event} wird dir nicht mehr angeboten",
			Withdrawn:        "das Angebot eines Tickets für {event} von {sender} gilt nicht mehr.",
			AcceptedSubject:  "Dein Ticket für {event} ist übertragen",
			Accepted:         "{recipient} hat dein Ticket für {event} angenommen. Dein eigenes Ticket ist nicht mehr gültig.",
			DeclinedSubject:  "Dein Ticket für {event} wurde abgelehnt",
			Declined:         "{recipient} hat dein Ticket für {event} abgelehnt. Es gehört weiter dir.",
			ExpiredSubject:   "Dein Ticket für {event} wurde nicht angenommen",
			Expired:          "{recipient} hat dein Ticket für {event} nicht rechtzeitig angenommen. Es gehört weiter dir.",
			TicketSubject:    "Dein Ticket für {event}",
			Ticket:           "hier ist dein Ticket für {event}. Das Ticket, das es ersetzt, ist nicht mehr gültig.",
			OpenTicket:       "Dein Ticket",
		}
	case "es":
		return transferWords{
			OfferSubject:     "Una entrada para {event} para ti",
			Offered:          "{sender} quiere transferirte una entrada para {event}.",
			Answer:           "Acéptala o recházala aquí antes del {time}",
			WithdrawnSubject: "La entrada para {event} ya no se te ofrece",
			Withdrawn:        "la oferta de {sender} de una entrada para {event} ya no es válida.",
			AcceptedSubject:  "Tu entrada para {event} se ha transferido",
			Accepted:         "{recipient} ha aceptado tu entrada para {event}. Tu propia entrada ya no es válida.",
			DeclinedSubject:  "Tu entrada para {event} se ha rechazado",
			Declined:         "{recipient} ha rechazado tu entrada para {event}. Sigue siendo tuya.",
			ExpiredSubject:   "Tu entrada para {event} no se ha aceptado",
			Expired:          "{recipient} no ha aceptado a tiempo tu entrada para {event}. Sigue siendo tuya.",
			TicketSubject:    "Tu entrada para {event}",
			Ticket:           "aquí tienes tu entrada para {event}. La entrada a la que sustituye ya no es válida.",
			OpenTicket:       "Tu entrada",
		}
	case "fr":
		return transferWords{
			OfferSubject:     "Un billet pour {event} pour vous",
			Offered:          "{sender} souhaite vous transférer un billet pour {event}.",
			Answer:           "Acceptez-le ou refusez-le ici avant le {time}",
			WithdrawnSubject: "Le billet pour {event} ne vous est plus proposé",
			Withdrawn:        "le billet pour {event} que {sender} vous proposait n’est plus disponible.",
			AcceptedSubject:  "Votre billet pour {event} est transféré",
			Accepted:         "{recipient} a accepté votre billet pour {event}. Votre propre billet n’est plus valable.",
			DeclinedSubject:  "Votre billet pour {event} a été refusé",
			Declined:         "{recipient} a refusé votre billet pour {event}. Il reste le vôtre.",
			ExpiredSubject:   "Votre billet pour {event} n’a pas été accepté",
			Expired:          "{recipient} n’a pas accepté à temps votre billet pour {event}. Il reste le vôtre.",
			TicketSubject:    "Votre billet pour {event}",
			Ticket:           "voici votre billet pour {event}. Le billet qu’il remplace n’est plus valable.",
			OpenTicket:       "Votre billet",
		}
	case "it":
		return transferWords{
			OfferSubject:     "Un biglietto per {event} per te",
			Offered:          "{sender} vuole cederti un biglietto per {event}.",
			Answer:           "Accettalo o rifiutalo qui entro il {time}",
			WithdrawnSubject: "Il biglietto per {event} non ti è più offerto",
			Withdrawn:        "l’offerta di {sender} di un biglietto per {event} non è più valida.",
			AcceptedSubject:  "Il tuo biglietto per {event} è stato ceduto",
			Accepted:         "{recipient} ha accettato il tuo biglietto per {event}. Il tuo biglietto non è più valido.",
			DeclinedSubject:  "Il tuo biglietto per {event} è stato rifiutato",
			Declined:         "{recipient} ha rifiutato il tuo biglietto per {event}. Resta tuo.",
			ExpiredSubject:   "Il tuo biglietto per {event} non è stato accettato",
			Expired:          "{recipient} non ha accettato in tempo il tuo biglietto per {event}. Resta tuo.",
			TicketSubject:    "Il tuo biglietto per {event}",
			Ticket:           "ecco il tuo biglietto per {event}. Il biglietto che sostituisce non è più valido.",
			OpenTicket:       "Il tuo biglietto",
		}
	case "nl":
		return transferWords{
			OfferSubject:     "Een ticket voor {event} voor jou",
			Offered:          "{sender} wil je een ticket voor {event} overdragen.",
			Answer:           "Neem het hier aan of wijs het af, uiterlijk {time}",
			WithdrawnSubject: "Het ticket voor {event} wordt je niet meer aangeboden",
			Withdrawn:        "het aanbod van {sender} van een ticket voor {event} geldt niet meer.",
			AcceptedSubject:  "Je ticket voor {event} is overgedragen",
			Accepted:         "{recipient} heeft je ticket voor {event} aangenomen. Je eigen ticket is niet meer geldig.",
			DeclinedSubject:  "Je ticket voor {event} is afgewezen",
			Declined:         "{recipient} heeft je ticket voor {event} afgewezen. Het blijft van jou.",
			ExpiredSubject:   "Je ticket voor {event} is niet aangenomen",
			Expired:          "{recipient} heeft je ticket voor {event} niet op tijd aangenomen. Het blijft van jou.",
			TicketSubject:    "Je ticket voor {event}",
			Ticket:           "hier is je ticket voor {event}. Het ticket dat het vervangt is niet meer geldig.",
			OpenTicket:       "Je ticket",
		}
	}
	return transferWords{
		OfferSubject:     "A ticket for {event} for you",
		Offered:          "{sender} would like to transfer a ticket for {event} to you.",
		Answer:           "Accept or decline it here until {time}",
		WithdrawnSubject: "The ticket for {event} is not offered to you any more",
		Withdrawn:        "{sender}'s offer of a ticket for {event} does not stand any more.",
		AcceptedSubject:  "Your ticket for {event} is transferred",
		Accepted:         "{recipient} has accepted your ticket for {event}. Your own ticket is no longer valid.",
		DeclinedSubject:  "Your ticket for {event} was declined",
		Declined:         "{recipient} has declined your ticket for {event}. It is still yours.",
		ExpiredSubject:   "Your ticket for {event} was not accepted",
		Expired:          "{recipient} has not accepted your ticket for {event} in time. It is still yours.",
		TicketSubject:    "Your ticket for {event}",
		Ticket:           "here is your ticket for {event}. The ticket that it replaces is no longer valid.",
		OpenTicket:       "Your ticket",
	}
}
