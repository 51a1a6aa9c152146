package pkpass

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// jsonKind is the JSON type that a value must have.
type jsonKind string

const (
	kindString  jsonKind = "a string"
	kindNumber  jsonKind = "a number"
	kindBoolean jsonKind = "true or false"
	kindArray   jsonKind = "an array"
	kindObject  jsonKind = "an object"
	kindText    jsonKind = "a string or a number" // what a field shows
)

func kindOf(value any) jsonKind {
	switch value.(type) {
	case string:
		return kindString
	case json.Number:
		return kindNumber
	case bool:
		return kindBoolean
	case []any:
		return kindArray
	case map[string]any:
		return kindObject
	}
	return "null"
}

// fits says whether a value of kind k is allowed where want is asked for.
func (k jsonKind) fits(want jsonKind) bool {
	return k == want || want == kindText && (k == kindString || k == kindNumber)
}

// shape is the type of a value, and of what is in it. Keys that it does not name are ignored by iOS, and so are they here.
type shape struct {
	kind    jsonKind
	element *shape           // of an array
	keys    map[string]shape // of an object
}

// shapesOf is one shape for several keys.
func shapesOf(s shape, keys string) map[string]shape {
	shapes := map[string]shape{}
	for key := range strings.FieldsSeq(keys) {
		shapes[key] = s
	}
	return shapes
}

func object(parts ...map[string]shape) shape {
	keys := map[string]shape{}
	for _, part := range parts {
		maps.Copy(keys, part)
	}
	return shape{kind: kindObject, keys: keys}
}

func listOf(element shape) shape { return shape{kind: kindArray, element: &element} }

// passShape is pass.json. Source: Apple, Wallet Passes: Pass, PassFields, PassFieldContent, Barcodes, Beacons, Locations, NFC,
// RelevantDates and SemanticTags.
var passShape = func() shape {
	text, number, boolean := shape{kind: kindString}, shape{kind: kindNumber}, shape{kind: kindBoolean}
	strs := func(keys string) map[string]shape { return shapesOf(text, keys) }
	numbers := func(keys string) map[string]shape { return shapesOf(number, keys) }
	booleans := func(keys string) map[string]shape { return shapesOf(boolean, keys) }

	place := object(numbers("latitude longitude altitude"), strs("relevantText"))
	barcode := object(strs("format message messageEncoding altText"))
	semantics := semanticsShape(strs, numbers, booleans)
	field := object(
		strs("key label changeMessage textAlignment dateStyle timeStyle currencyCode numberStyle"),
		shapesOf(shape{kind: kindText}, "value attributedValue"), numbers("row"), booleans("isRelative ignoresTimeZone"),
		shapesOf(listOf(text), "dataDetectorTypes"), shapesOf(semantics, "semantics"),
	)
	style := object(
		shapesOf(listOf(field), "headerFields primaryFields secondaryFields auxiliaryFields backFields additionalInfoFields"), strs("transitType"),
	)
	return object(
		strs(`passTypeIdentifier serialNumber teamIdentifier organizationName description webServiceURL authenticationToken relevantDate
			expirationDate groupingIdentifier backgroundColor foregroundColor labelColor stripColor footerBackgroundColor logoText appLaunchURL
			eventLogoText bagPolicyURL orderFoodURL parkingInformationURL directionsInformationURL purchaseParkingURL merchandiseURL
			transitInformationURL accessibilityURL addOnURL contactVenueEmail contactVenuePhoneNumber contactVenueWebsite transferURL sellURL`),
		numbers("formatVersion maxDistance"),
		booleans("voided sharingProhibited suppressStripShine suppressHeaderDarkening useAutomaticColors"),
		shapesOf(listOf(number), "associatedStoreIdentifiers auxiliaryStoreIdentifiers"), shapesOf(listOf(text), "preferredStyleSchemes"),
		shapesOf(barcode, "barcode"), shapesOf(listOf(barcode), "barcodes"), shapesOf(listOf(place), "locations"),
		shapesOf(listOf(object(strs("date relevantDate startDate endDate"))), "relevantDates"),
		shapesOf(listOf(object(strs("proximityUUID relevantText"), numbers("major minor"))), "beacons"),
		shapesOf(object(strs("message encryptionPublicKey"), booleans("requiresAuthentication")), "nfc"),
		shapesOf(shape{kind: kindObject}, "userInfo"), shapesOf(semantics, "semantics"), shapesOf(style, strings.Join(styles, " ")),
	)
}()

func semanticsShape(strs, numbers, booleans func(string) map[string]shape) shape {
	text := shape{kind: kindString}
	return object(
		strs(`admissionLevel admissionLevelAbbreviation additionalTicketAttributes airlineCode attendeeName awayTeamAbbreviation
			awayTeamLocation awayTeamName boardingGroup boardingSequenceNumber carNumber confirmationNumber currentArrivalDate
			currentBoardingDate currentDepartureDate departureAirportCode departureAirportName departureGate departureLocationDescription
			departurePlatform departureStationName departureTerminal destinationAirportCode destinationAirportName destinationGate
			destinationLocationDescription destinationPlatform destinationStationName destinationTerminal entranceDescription eventEndDate
			eventLiveMessage eventName eventStartDate eventType flightCode genre homeTeamAbbreviation homeTeamLocation homeTeamName
			leagueAbbreviation leagueName membershipProgramName membershipProgramNumber originalArrivalDate originalBoardingDate
			originalDepartureDate priorityStatus securityScreening sportName ticketFareClass transitProvider transitStatus
			transitStatusReason vehicleName vehicleNumber vehicleType venueBoxOfficeOpenDate venueCloseDate venueDoorsOpenDate
			venueEntrance venueEntranceDoor venueEntranceGate venueEntrancePortal venueFanZoneOpenDate venueGatesOpenDate venueName
			venueOpenDate venueParkingLotsOpenDate venuePhoneNumber venueRegionName venueRoom`),
		numbers("duration flightNumber"), booleans("silenceRequested tailgatingAllowed"),
		shapesOf(listOf(text), "albumIDs artistIDs performerNames playlistIDs"),
		shapesOf(object(strs("amount currencyCode")), "balance totalPrice"),
		shapesOf(object(numbers("latitude longitude")), "departureLocation destinationLocation venueLocation"),
		shapesOf(object(strs("familyName givenName middleName namePrefix nameSuffix nickname phoneticRepresentation")), "passengerName"),
		shapesOf(listOf(object(strs(`seatAisle seatDescription seatIdentifier seatLevel seatNumber seatRow seatSection seatSectionColor
			seatType`))), "seats"),
		shapesOf(listOf(object(strs("password ssid"))), "wifiAccess"),
		shapesOf(object(strs("date timeZone"), booleans("ignoreTimeComponents unannounced undetermined")), "eventStartDateInfo"),
	)
}

// types refuses every value of a wrong type, at any depth, and makes it nil, so that the other checks pass over it. Null is reported by
// nulls before.
func (v *verifier) types(where string, value any, s shape) (ok bool) {
	if value == nil {
		return true
	}
	if kind := kindOf(value); !kind.fits(s.kind) {
		v.refuse(passFile, "%s is %s, but must be %s; one wrong type makes iOS reject the whole pass", where, kind, s.kind)
		return false
	}
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			inner, known := s.keys[key]
			if known && !v.types(strings.TrimPrefix(where+"."+key, "."), value[key], inner) {
				value[key] = nil
			}
		}
	case []any:
		if s.element == nil {
			return true
		}
		for i, element := range value {
			if !v.types(where+"["+strconv.Itoa(i)+"]", element, *s.element) {
				value[i] = nil
			}
		}
	}
	return true
}
