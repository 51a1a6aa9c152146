package receipt

// words are the texts of mails in one language. "{event}" stands for the event's name, "{name}" for the buyer's and
// "{amount}" for money.
type words struct {
	Hello, Order, When, Where string
	Row, Seat                 string // before the label of one

	ReceiptSubject, Ready, Each, Discount, Total string
	AllTickets, AddToWallet, AddThemToWallet     string

	RefundSubject                              string
	Refunded, RefundedDuplicate, RefundArrival string
	VoidTickets                                string // before the tickets that a refund voids
	UnfulfillableSubject, Unfulfillable        string
	UnfulfillableMoney, UnfulfillableFree      string // the latter where there is no money

	MovedSubject, Moved, MovedTickets          string // the event takes place at another time
	CanceledSubject, Canceled, CanceledTickets string // or not at all
	CanceledFreeTickets                        string // where there is no money
}

// wordsOf returns the texts in one of locale.Languages.
func wordsOf(language string) words {
	switch language {
	case "de":
		return words{
			Hello: "Hallo {name},", Order: "Bestellung", When: "Wann", Where: "Wo", Row: "Reihe", Seat: "Platz",
			ReceiptSubject: "Deine Tickets für {event}", Ready: "deine Tickets für {event} sind da.", Each: "je Ticket", Discount: "Rabatt", Total: "Summe",
			AllTickets: "Alle Tickets auf einer Seite", AddToWallet: "Zum Wallet hinzufügen", AddThemToWallet: "Füge sie deinem Wallet hinzu",
			RefundSubject:     "Erstattung für {event}",
			Refunded:          "wir haben dir {amount} deiner Bestellung für {event} erstattet.",
			RefundedDuplicate: "für deine Bestellung für {event} ging mehr als eine Zahlung ein. Wir haben dir {amount} erstattet.",
			RefundArrival:     "Das Geld geht auf dem Weg zurück, auf dem du bezahlt hast. Je nach Bank dauert das 5 bis 10 Tage.",
			VoidTickets:       "Diese Tickets sind nicht mehr gültig", UnfulfillableSubject: "Deine Bestellung für {event} kam nicht zustande",
			Unfulfillable:       "deine Zahlung für {event} ist angekommen, aber wir konnten dir keine Tickets ausstellen. Das tut uns leid.",
			UnfulfillableMoney:  "Du bekommst {amount} zurück, ohne dass du etwas tun musst.",
			UnfulfillableFree:   "für {event} konnten wir dir keine Tickets ausstellen. Das tut uns leid.",
			MovedSubject:        "Neuer Termin für {event}",
			Moved:               "{event} findet zu einer anderen Zeit statt.",
			MovedTickets:        "Deine Tickets bleiben gültig. Tickets in deinem Wallet ändern sich von selbst, und die angehängte Kalenderdatei enthält den neuen Termin.",
			CanceledSubject:     "{event} ist abgesagt",
			Canceled:            "{event} ist abgesagt und findet nicht statt.",
			CanceledTickets:     "Deine Tickets berechtigen nicht mehr zum Eintritt. Wegen deines Geldes melden wir uns; du musst nichts tun.",
			CanceledFreeTickets: "Deine Tickets berechtigen nicht mehr zum Eintritt.",
		}
	case "es":
		return words{
			Hello: "Hola, {name}:", Order: "Pedido", When: "Cuándo", Where: "Dónde", Row: "fila", Seat: "asiento",
			ReceiptSubject: "Tus entradas para {event}", Ready: "tus entradas para {event} están listas.", Each: "por entrada", Discount: "Descuento", Total: "Total",
			AllTickets: "Todas las entradas en una página", AddToWallet: "Añadir al Wallet", AddThemToWallet: "Añádelas a tu Wallet",
			RefundSubject:     "Reembolso de {event}",
			Refunded:          "te hemos reembolsado {amount} de tu pedido para {event}.",
			RefundedDuplicate: "recibimos más de un pago por tu pedido para {event}. Te hemos reembolsado {amount}.",
			RefundArrival:     "El dinero vuelve al medio de pago que usaste. Según el banco, tarda de 5 a 10 días.",
			VoidTickets:       "Estas entradas ya no son válidas", UnfulfillableSubject: "Tu pedido para {event} no se ha podido completar",
			Unfulfillable:       "hemos recibido tu pago para {event}, pero no hemos podido emitir tus entradas. Lo sentimos.",
			UnfulfillableMoney:  "Recibirás {amount} de vuelta sin tener que hacer nada.",
			UnfulfillableFree:   "no hemos podido emitir tus entradas para {event}. Lo sentimos.",
			MovedSubject:        "Nueva fecha para {event}",
			Moved:               "{event} se celebra en otro momento.", //nolint:misspell // Spanish
			MovedTickets:        "Tus entradas siguen siendo válidas. Las entradas de tu Wallet cambian solas, y el archivo de calendario adjunto tiene la nueva fecha.",
			CanceledSubject:     "{event} se ha cancelado",
			Canceled:            "{event} se ha cancelado y no se celebrará.",
			CanceledTickets:     "Tus entradas ya no dan acceso. Te escribiremos sobre tu dinero; no tienes que hacer nada.",
			CanceledFreeTickets: "Tus entradas ya no dan acceso.",
		}
	case "fr":
		return words{
			Hello: "Bonjour {name},", Order: "Commande", When: "Quand", Where: "Où", Row: "rang", Seat: "place",
			ReceiptSubject: "Vos billets pour {event}", Ready: "vos billets pour {event} sont prêts.", Each: "l’unité", Discount: "Réduction", Total: "Total",
			AllTickets: "Tous les billets sur une page", AddToWallet: "Ajouter au Wallet", AddThemToWallet: "Ajoutez-les à votre Wallet",
			RefundSubject:     "Remboursement pour {event}",
			Refunded:          "nous vous avons remboursé {amount} de votre commande pour {event}.",
			RefundedDuplicate: "nous avons reçu plus d’un paiement pour votre commande pour {event}. Nous vous avons remboursé {amount}.",
			RefundArrival:     "L’argent revient sur le moyen de paiement utilisé. Selon la banque, cela prend de 5 à 10 jours.",
			VoidTickets:       "Ces billets ne sont plus valables", UnfulfillableSubject: "Votre commande pour {event} n’a pas pu aboutir",
			Unfulfillable:       "votre paiement pour {event} nous est parvenu, mais nous n’avons pas pu émettre vos billets. Nous en sommes désolés.",
			UnfulfillableMoney:  "{amount} vous seront remboursés sans démarche de votre part.",
			UnfulfillableFree:   "nous n’avons pas pu émettre vos billets pour {event}. Nous en sommes désolés.",
			MovedSubject:        "Nouvelle date pour {event}",
			Moved:               "{event} aura lieu à un autre moment.",
			MovedTickets:        "Vos billets restent valables. Les billets de votre Wallet changent d’eux-mêmes, et le fichier de calendrier joint contient la nouvelle date.",
			CanceledSubject:     "{event} est annulé",
			Canceled:            "{event} est annulé et n’aura pas lieu.",
			CanceledTickets:     "Vos billets ne donnent plus accès. Nous vous écrirons au sujet de votre argent ; vous n’avez rien à faire.",
			CanceledFreeTickets: "Vos billets ne donnent plus accès.",
		}
	case "it":
		return words{
			Hello: "Ciao {name},", Order: "Ordine", When: "Quando", Where: "Dove", Row: "fila", Seat: "posto",
			ReceiptSubject: "I tuoi biglietti per {event}", Ready: "i tuoi biglietti per {event} sono pronti.", Each: "ciascuno", Discount: "Sconto", Total: "Totale",
			AllTickets: "Tutti i biglietti in una pagina", AddToWallet: "Aggiungi al Wallet", AddThemToWallet: "Aggiungili al tuo Wallet",
			RefundSubject:     "Rimborso per {event}",
			Refunded:          "ti abbiamo rimborsato {amount} del tuo ordine per {event}.",
			RefundedDuplicate: "abbiamo ricevuto più di un pagamento per il tuo ordine per {event}. Ti abbiamo rimborsato {amount}.",
			RefundArrival:     "Il denaro torna sul metodo di pagamento che hai usato. A seconda della banca servono da 5 a 10 giorni.",
			VoidTickets:       "Questi biglietti non sono più validi", UnfulfillableSubject: "Il tuo ordine per {event} non è andato a buon fine",
			Unfulfillable:       "abbiamo ricevuto il tuo pagamento per {event}, ma non abbiamo potuto emettere i biglietti. Ci dispiace.",
			UnfulfillableMoney:  "Riceverai {amount} senza dover fare nulla.",
			UnfulfillableFree:   "non abbiamo potuto emettere i tuoi biglietti per {event}. Ci dispiace.",
			MovedSubject:        "Nuova data per {event}",
			Moved:               "{event} si terrà in un altro momento.", //nolint:misspell // Italian
			MovedTickets:        "I tuoi biglietti restano validi. I biglietti nel tuo Wallet cambiano da soli, e il file di calendario allegato contiene la nuova data.",
			CanceledSubject:     "{event} è annullato",
			Canceled:            "{event} è annullato e non si terrà.",
			CanceledTickets:     "I tuoi biglietti non danno più accesso. Ti scriveremo riguardo al tuo denaro; non devi fare nulla.",
			CanceledFreeTickets: "I tuoi biglietti non danno più accesso.",
		}
	case "nl":
		return words{
			Hello: "Hallo {name},", Order: "Bestelling", When: "Wanneer", Where: "Waar", Row: "rij", Seat: "stoel",
			ReceiptSubject: "Je tickets voor {event}", Ready: "je tickets voor {event} staan klaar.", Each: "per ticket", Discount: "Korting", Total: "Totaal",
			AllTickets: "Alle tickets op één pagina", AddToWallet: "Voeg toe aan Wallet", AddThemToWallet: "Voeg ze toe aan je Wallet",
			RefundSubject:     "Terugbetaling voor {event}",
			Refunded:          "we hebben {amount} van je bestelling voor {event} terugbetaald.",
			RefundedDuplicate: "we ontvingen meer dan één betaling voor je bestelling voor {event}. We hebben {amount} terugbetaald.",
			RefundArrival:     "Het geld gaat terug naar het betaalmiddel dat je hebt gebruikt. Afhankelijk van je bank duurt dat 5 tot 10 dagen.",
			VoidTickets:       "Deze tickets zijn niet meer geldig", UnfulfillableSubject: "Je bestelling voor {event} is niet gelukt",
			Unfulfillable:       "je betaling voor {event} is binnengekomen, maar we konden je tickets niet uitgeven. Het spijt ons.",
			UnfulfillableMoney:  "Je krijgt {amount} terug zonder dat je iets hoeft te doen.",
			UnfulfillableFree:   "we konden je tickets voor {event} niet uitgeven. Het spijt ons.",
			MovedSubject:        "Nieuwe datum voor {event}",
			Moved:               "{event} vindt op een ander moment plaats.",
			MovedTickets:        "Je tickets blijven geldig. Tickets in je Wallet veranderen vanzelf, en het bijgevoegde agendabestand bevat de nieuwe datum.",
			CanceledSubject:     "{event} is afgelast",
			Canceled:            "{event} is afgelast en gaat niet door.",
			CanceledTickets:     "Je tickets geven geen toegang meer. We laten je weten hoe het met je geld gaat; je hoeft niets te doen.",
			CanceledFreeTickets: "Je tickets geven geen toegang meer.",
		}
	}
	return words{
		Hello: "Hello {name},", Order: "Order", When: "When", Where: "Where", Row: "row", Seat: "seat",
		ReceiptSubject: "Your tickets for {event}", Ready: "your tickets for {event} are ready.", Each: "each", Discount: "Discount", Total: "Total",
		AllTickets: "All tickets on one page", AddToWallet: "Add to wallet", AddThemToWallet: "Add them to your wallet",
		RefundSubject:     "Refund for {event}",
		Refunded:          "we have refunded {amount} of your order for {event}.",
		RefundedDuplicate: "we received more than one payment for your order for {event}. We have refunded {amount}.",
		RefundArrival:     "The money goes back the way you paid. Depending on your bank, this takes 5 to 10 days.",
		VoidTickets:       "These tickets are no longer valid", UnfulfillableSubject: "Your order for {event} could not be completed",
		Unfulfillable:       "your payment for {event} reached us, but we could not issue your tickets. We are sorry.",
		UnfulfillableMoney:  "You will get {amount} back; there is nothing you need to do.",
		UnfulfillableFree:   "we could not issue your tickets for {event}. We are sorry.",
		MovedSubject:        "{event} has a new date",
		Moved:               "{event} takes place at another time.",
		MovedTickets:        "Your tickets stay valid. Tickets in your wallet change by themselves, and the attached calendar file has the new time.",
		CanceledSubject:     "{event} is canceled",
		Canceled:            "{event} is canceled and does not take place.",
		CanceledTickets:     "Your tickets do not admit any more. You will hear about your money; there is nothing you need to do.",
		CanceledFreeTickets: "Your tickets do not admit any more.",
	}
}
