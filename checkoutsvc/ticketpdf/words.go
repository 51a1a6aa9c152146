package ticketpdf

// words are the texts of a page in one language.
type words struct {
	When, Doors, Where, Ticket, Place, Name string
	Row, Seat                               string // before the label of one
	Show                                    string // what to do with the code
	Number, Order                           string // before an id
}

// wordsOf returns the texts in one of locale.Languages.
func wordsOf(language string) words {
	switch language {
	case "de":
		return words{
			When: "Wann", Doors: "Einlass", Where: "Wo", Ticket: "Ticket", Place: "Sitzplatz", Name: "Name", Row: "Reihe", Seat: "Platz",
			Show:   "Zeige diesen Code am Einlass. Er gilt so oft, wie dieses Ticket Eintritt gibt, auch wenn er mehrmals gedruckt wird.",
			Number: "Ticket", Order: "Bestellung",
		}
	case "es":
		return words{
			When: "Cuándo", Doors: "Apertura", Where: "Dónde", Ticket: "Entrada", Place: "Asiento", Name: "Nombre", Row: "fila", Seat: "asiento",
			Show:   "Muestra este código en la entrada. Vale tantas veces como admita esta entrada, aunque se imprima varias veces.",
			Number: "Entrada", Order: "Pedido",
		}
	case "fr":
		return words{
			When: "Quand", Doors: "Ouverture", Where: "Où", Ticket: "Billet", Place: "Place", Name: "Nom", Row: "rang", Seat: "siège",
			Show:   "Présentez ce code à l’entrée. Il vaut autant d’entrées que ce billet, même imprimé plusieurs fois.",
			Number: "Billet", Order: "Commande",
		}
	case "it":
		return words{
			When: "Quando", Doors: "Apertura", Where: "Dove", Ticket: "Biglietto", Place: "Posto", Name: "Nome", Row: "fila", Seat: "posto",
			Show:   "Mostra questo codice all’ingresso. Vale per gli ingressi di questo biglietto, anche se stampato più volte.",
			Number: "Biglietto", Order: "Ordine",
		}
	case "nl":
		return words{
			When: "Wanneer", Doors: "Deuren open", Where: "Waar", Ticket: "Ticket", Place: "Zitplaats", Name: "Naam", Row: "rij", Seat: "stoel",
			Show:   "Toon deze code bij de ingang. Hij geldt zo vaak als dit ticket toegang geeft, ook als hij vaker wordt afgedrukt.",
			Number: "Ticket", Order: "Bestelling",
		}
	default:
		return words{
			When: "When", Doors: "Doors", Where: "Where", Ticket: "Ticket", Place: "Seat", Name: "Name", Row: "row", Seat: "seat",
			Show:   "Show this code at the door. It admits as often as this ticket does, however often it is printed.",
			Number: "Ticket", Order: "Order",
		}
	}
}
