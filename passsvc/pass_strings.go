package passsvc

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// phrase names a text that a pass or a page shows in the holder's language, one of locale.Languages. Each has a folder in
// the package of a pass.
type phrase int

const (
	phraseDoors phrase = iota // no message about a change is phraseDoors: 0 means none
	phraseStarts
	phraseDate
	phraseVenue
	phraseTicket
	phrasePlace
	phraseHolder
	phraseGate
	phraseSection
	phraseRow
	phraseSeat
	phraseNote
	phraseOrder
	phraseTicketNumber
	phrasePrice
	phraseOrganizer
	phraseAddress
	phraseTerms
	phraseStatus
	phraseVoid
	phraseCanceled
	phraseSuspended
	phraseState
	phraseOnHold
	phraseNameChanged
	phraseDateChanged
	phraseDoorsChanged
	phraseVenueChanged
	phrasePlaceChanged
	phraseGateChanged
	phraseSectionChanged
	phraseRowChanged
	phraseSeatChanged
	phraseNoteChanged
	phraseStatusChanged
	phraseDescription
	phraseAddToApple // from here on of pages only
	phraseAddAllToApple
	phraseAddToGoogle
	phraseNotValidYet
	phraseUsed // these two are of pages, and of passes that show it: the strings of all others stay as they are
	phraseUsedTicket
	phraseCount // how many there are
)

// say returns p in one of locale.Languages.
func say(language string, p phrase) string { return phrasebook(language)[p] }

// phrasebook returns all phrases of one of locale.Languages. "%@" stands for a new value; in the description, for the event.
func phrasebook(language string) [phraseCount]string {
	switch language {
	case "de":
		return [phraseCount]string{
			"EINLASS", "BEGINN", "WANN", "WO", "TICKET", "PLATZ", "NAME", "EINGANG", "BLOCK", "REIHE", "SITZ", "HINWEIS",
			"Bestellung", "Ticketnummer", "Preis", "Veranstalter", "Adresse", "Bedingungen", "Status",
			"Dieses Ticket ist ungültig und berechtigt nicht zum Eintritt.",
			"Die Veranstaltung ist abgesagt. Dieses Ticket berechtigt nicht zum Eintritt.",
			"Die Zahlung wird bestritten. Bis das geklärt ist, ist dieses Ticket gesperrt: Bitte wende dich an die Abendkasse.",
			"STATUS", "Gesperrt",
			"Jetzt: %@", "Neuer Termin: %@", "Neuer Einlass: %@", "Neuer Ort: %@", "Neuer Platz: %@", "Neuer Eingang: %@",
			"Neuer Block: %@", "Neue Reihe: %@", "Neuer Sitz: %@", "%@", "%@", "Ticket für %@",
			"Zu Apple Wallet hinzufügen", "Alle zu Apple Wallet hinzufügen", "Zu Google Wallet hinzufügen",
			"Dieses Ticket ist noch nicht gültig: Die Zahlung wird gerade verbucht. Bitte lade die Seite gleich noch einmal.",
			"Benutzt", "Mit diesem Ticket hat schon jemand Einlass erhalten.",
		}
	case "es":
		return [phraseCount]string{
			"PUERTAS", "INICIO", "CUÁNDO", "DÓNDE", "ENTRADA", "LUGAR", "NOMBRE", "ACCESO", "SECTOR", "FILA", "ASIENTO", "AVISO",
			"Pedido", "Número de entrada", "Precio", "Organizador", "Dirección", "Condiciones", "Estado",
			"Esta entrada está anulada y no da acceso.",
			"El evento se ha cancelado. Esta entrada no da acceso.",
			"El pago está en disputa. Hasta que se resuelva, esta entrada está retenida: acude a la taquilla.",
			"ESTADO", "Retenida",
			"Ahora: %@", "Nueva fecha: %@", "Nueva apertura de puertas: %@", "Nuevo recinto: %@", "Nuevo lugar: %@", "Nuevo acceso: %@",
			"Nuevo sector: %@", "Nueva fila: %@", "Nuevo asiento: %@", "%@", "%@", "Entrada para %@",
			"Añadir a Apple Wallet", "Añadir todas a Apple Wallet", "Añadir a Google Wallet",
			"Esta entrada aún no es válida: el pago se está registrando. Vuelve a cargar la página en unos segundos.",
			"Usada", "Con esta entrada ya ha accedido alguien.",
		}
	case "fr":
		return [phraseCount]string{
			"PORTES", "DÉBUT", "QUAND", "OÙ", "BILLET", "PLACE", "NOM", "ENTRÉE", "BLOC", "RANG", "SIÈGE", "AVIS",
			"Commande", "Numéro du billet", "Prix", "Organisateur", "Adresse", "Conditions", "Statut",
			"Ce billet est annulé et ne donne pas accès.",
			"L'événement est annulé. Ce billet ne donne pas accès.",
			"Le paiement est contesté. Dans l'attente d'une décision, ce billet est suspendu : adressez-vous à la billetterie.",
			"STATUT", "Suspendu",
			"Désormais : %@", "Nouvelle date : %@", "Nouvelle ouverture des portes : %@", "Nouveau lieu : %@", "Nouvelle place : %@",
			"Nouvelle entrée : %@", "Nouveau bloc : %@", "Nouveau rang : %@", "Nouveau siège : %@", "%@", "%@", "Billet pour %@",
			"Ajouter à Apple Wallet", "Tout ajouter à Apple Wallet", "Ajouter à Google Wallet",
			"Ce billet n'est pas encore valable : le paiement est en cours d'enregistrement. Rechargez la page dans un instant.",
			"Utilisé", "Quelqu'un est déjà entré avec ce billet.",
		}
	case "it":
		return [phraseCount]string{
			"PORTE", "INIZIO", "QUANDO", "DOVE", "BIGLIETTO", "POSTO", "NOME", "INGRESSO", "SETTORE", "FILA", "SEDILE", "AVVISO",
			"Ordine", "Numero del biglietto", "Prezzo", "Organizzatore", "Indirizzo", "Condizioni", "Stato",
			"Questo biglietto è annullato e non dà diritto all'ingresso.",
			"L'evento è annullato. Questo biglietto non dà diritto all'ingresso.",
			"Il pagamento è contestato. Finché non è risolto, questo biglietto è sospeso: rivolgiti alla biglietteria.",
			"STATO", "Sospeso",
			"Ora: %@", "Nuova data: %@", "Nuovo orario porte: %@", "Nuovo luogo: %@", "Nuovo posto: %@", "Nuovo ingresso: %@",
			"Nuovo settore: %@", "Nuova fila: %@", "Nuovo sedile: %@", "%@", "%@", "Biglietto per %@",
			"Aggiungi a Apple Wallet", "Aggiungi tutti a Apple Wallet", "Aggiungi a Google Wallet",
			"Questo biglietto non è ancora valido: il pagamento è in corso di registrazione. Ricarica la pagina tra poco.",
			"Usato", "Con questo biglietto è già entrato qualcuno.",
		}
	case "nl":
		return [phraseCount]string{
			"DEUREN", "AANVANG", "WANNEER", "WAAR", "TICKET", "PLAATS", "NAAM", "INGANG", "VAK", "RIJ", "STOEL", "LET OP",
			"Bestelling", "Ticketnummer", "Prijs", "Organisator", "Adres", "Voorwaarden", "Status", //nolint:misspell // Dutch
			"Dit ticket is ongeldig en geeft geen toegang.",
			"Het evenement is afgelast. Dit ticket geeft geen toegang.",
			"De betaling wordt betwist. Tot dat is opgelost, is dit ticket geblokkeerd: meld je bij de kassa.",
			"STATUS", "Geblokkeerd",
			"Nu: %@", "Nieuwe datum: %@", "Deuren open: %@", "Nieuwe locatie: %@", "Nieuwe plaats: %@", "Nieuwe ingang: %@",
			"Nieuw vak: %@", "Nieuwe rij: %@", "Nieuwe stoel: %@", "%@", "%@", "Ticket voor %@",
			"Voeg toe aan Apple Wallet", "Voeg alles toe aan Apple Wallet", "Voeg toe aan Google Wallet",
			"Dit ticket is nog niet geldig: de betaling wordt verwerkt. Laad de pagina zo meteen opnieuw.",
			"Gebruikt", "Met dit ticket is al iemand binnengegaan.",
		}
	default:
		return [phraseCount]string{
			"DOORS", "STARTS", "WHEN", "WHERE", "TICKET", "PLACE", "NAME", "GATE", "SECTION", "ROW", "SEAT", "NOTE",
			"Order", "Ticket number", "Price", "Organiser", "Address", "Terms", "Status",
			"This ticket is void and does not admit.",
			"The event is canceled. This ticket does not admit.",
			"The payment is disputed. Until that is settled, this ticket is on hold: please go to the box office.",
			"STATUS", "On hold",
			"Now: %@", "New date: %@", "Doors now open at %@", "New venue: %@", "New place: %@", "New gate: %@",
			"New section: %@", "New row: %@", "New seat: %@", "%@", "%@", "Ticket for %@",
			"Add to Apple Wallet", "Add all to Apple Wallet", "Add to Google Wallet",
			"This ticket is not valid yet: the payment is being booked. Please load the page again in a moment.",
			"Used", "Somebody has entered with this ticket.",
		}
	}
}

// passStrings returns the pass.strings of language for a pass that is written in the language literal: each literal
// text of ours and its translation. What people wrote (names, notes) stays as it is. The description, which contains
// the event's name, is added by descriptionString.
func passStrings(language, literal string) []byte {
	from, to := phrasebook(literal), phrasebook(language)
	table := map[string]string{}
	for p := range from {
		if phrase(p) < phraseDescription {
			table[from[p]] = to[p]
		}
	}
	var out []byte
	for _, key := range slices.Sorted(maps.Keys(table)) {
		out = appendString(out, key, table[key])
	}
	return out
}

// descriptionString is the line of pass.strings for the description.
func descriptionString(out []byte, language, literal, eventName string) []byte {
	return appendString(out, describe(literal, eventName), describe(language, eventName))
}

// usedStrings are the lines of pass.strings that only a pass has which shows that it was used.
func usedStrings(out []byte, language, literal string) []byte {
	for _, p := range []phrase{phraseUsed, phraseUsedTicket} {
		out = appendString(out, say(literal, p), say(language, p))
	}
	return out
}

// describe is what VoiceOver reads out for a pass.
func describe(language, eventName string) string {
	return strings.Replace(say(language, phraseDescription), "%@", eventName, 1)
}

// appendString writes one entry of a .strings file. Organisers choose the names of events: nothing they write may end
// the quotes.
func appendString(out []byte, key, value string) []byte {
	for i, s := range []string{key, value} {
		out = append(out, []string{`"`, ` = "`}[i]...)
		for _, r := range s {
			switch r {
			case '"', '\\':
				out = append(out, '\\', byte(r))
			case '\n':
				out = append(out, `\n`...)
			default:
				out = utf8.AppendRune(out, r)
			}
		}
		out = append(out, '"')
	}
	return append(out, ";\n"...)
}
