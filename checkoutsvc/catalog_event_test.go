package checkoutsvc_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// public is the catalogue as everybody sees it.
func (w *harness) public() checkoutv1connect.CatalogServiceClient {
	client, opts := rpc.Dial(rpc.DialConfig{BaseURL: w.replicas[0].url, Timeout: patience})
	return checkoutv1connect.NewCatalogServiceClient(client, w.replicas[0].url, opts...)
}

// mask names fields.
func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// newEvent is a request for an event of the test's organiser, a year from the test's other events.
func newEvent() *checkoutv1.CreateEventRequest {
	start := time.Date(2028, 3, 1, 19, 0, 0, 0, time.UTC)
	return &checkoutv1.CreateEventRequest{
		OrganizerId: organizerID, Name: "Frühlingsfest", Venue: &checkoutv1.Venue{Name: "Wiese", TimeZone: "Europe/Berlin"},
		StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(3 * time.Hour)),
	}
}

// createEvent creates an event.
func (w *harness) createEvent(key string, req *checkoutv1.CreateEventRequest) *checkoutv1.Event {
	w.t.Helper()
	res, err := w.replicas[0].catalog.CreateEvent(w.keyed("event/"+key), req)
	if err != nil {
		w.t.Fatalf("create event: %v", err)
	}
	return res.GetEvent()
}

// sellOf adds a product and a variant to an event.
func (w *harness) sellOf(e *checkoutv1.Event, req *checkoutv1.CreateVariantRequest) seller {
	w.t.Helper()
	c := w.replicas[0].catalog
	product, err := c.CreateProduct(w.keyed("product/"+e.GetId()+req.GetName()), &checkoutv1.CreateProductRequest{EventId: e.GetId(), Name: "Ticket"})
	if err != nil {
		w.t.Fatalf("create product: %v", err)
	}
	req.ProductId, req.Version = product.GetProduct().GetId(), w.variant.GetCurrentVersion()
	req.CapacityTicketCount = max(req.GetCapacityTicketCount(), 100)
	variant, err := c.CreateVariant(w.keyed("variant/"+e.GetId()+req.GetName()), req)
	if err != nil {
		w.t.Fatalf("create variant: %v", err)
	}
	return seller{event: e, product: product.GetProduct(), variant: variant.GetVariant()}
}

// An organiser that is renamed bears the new name on its events and what is sold from then on, and the old one on what was sold.
func TestOrganizerIsRenamed(t *testing.T) {
	w := newHarness(t)
	c := w.replicas[0].catalog
	sold := w.bought("before", 1)
	created, err := c.CreateOrganizer(w.keyed("new"), &checkoutv1.CreateOrganizerRequest{Name: "Stadtgarten"})
	if err != nil || created.GetOrganizer().GetUpdateNumber() != 1 {
		t.Fatalf("create organiser: %v, %v", created, err)
	}
	_, err = c.CreateOrganizer(w.keyed("taken"), &checkoutv1.CreateOrganizerRequest{OrganizerId: organizerID, Name: "Other"})
	wantProblem(t, err, connect.CodeAlreadyExists, "ORGANIZER_EXISTS")
	renamed, err := c.UpdateOrganizer(w.keyed("rename"), &checkoutv1.UpdateOrganizerRequest{OrganizerId: organizerID, Name: "Musikhaus Nord", UpdateNumber: 1})
	if err != nil || renamed.GetOrganizer().GetUpdateNumber() != 2 {
		t.Fatalf("rename: %v, %v", renamed, err)
	}
	_, err = c.UpdateOrganizer(w.keyed("stale"), &checkoutv1.UpdateOrganizerRequest{OrganizerId: organizerID, Name: "Musikhaus Süd", UpdateNumber: 1})
	wantProblem(t, err, connect.CodeFailedPrecondition, "UPDATE_NUMBER_STALE")
	_, err = c.UpdateOrganizer(w.keyed("none"), &checkoutv1.UpdateOrganizerRequest{OrganizerId: "organizer00000000none", Name: "Nobody"})
	wantProblem(t, err, connect.CodeNotFound, "ORGANIZER_NOT_FOUND")

	event, err := w.public().GetEvent(t.Context(), &checkoutv1.GetEventRequest{EventId: w.event.GetId()})
	if err != nil || event.GetEvent().GetOrganizerName() != "Musikhaus Nord" {
		t.Errorf("the event: %v, %v", event, err)
	}
	if e := w.createEvent("after", newEvent()); e.GetOrganizerName() != "Musikhaus Nord" {
		t.Errorf("an event of the organiser without a name: %v", e)
	}
	missing := newEvent()
	missing.OrganizerId = "organizer00000000none"
	_, err = c.CreateEvent(w.keyed("missing"), missing)
	wantProblem(t, err, connect.CodeNotFound, "ORGANIZER_NOT_FOUND")
	for _, o := range []struct{ id, want string }{{sold.GetId(), "Musikhaus"}, {w.bought("after", 1).GetId(), "Musikhaus Nord"}} {
		if n := w.count("select count(*) from tickets where order_id = $1 and snapshot->>'organizer_name' = $2", o.id, o.want); n != 1 {
			t.Errorf("a ticket does not bear the name %s", o.want)
		}
	}
	var names []string
	for req := (&checkoutv1.ListOrganizersRequest{PageSize: 1}); ; {
		res, err := c.ListOrganizers(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, res.GetOrganizers()[0].GetName())
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if want := []string{"Musikhaus Nord", "Stadtgarten"}; !slices.Equal(names, want) {
		t.Errorf("organisers %v, want %v", names, want)
	}
	_, err = w.public().GetOrganizer(t.Context(), &checkoutv1.GetOrganizerRequest{OrganizerId: organizerID})
	wantProblem(t, err, connect.CodeUnauthenticated, "UNAUTHENTICATED")
}

// A draft is not there for anybody but staff, and is deleted with all that belongs to it; an archived event is there by its id. Neither is
// sold.
func TestDraftsAndArchivedEvents(t *testing.T) {
	w := newHarness(t)
	staff, public := w.replicas[0].catalog, w.public()
	req := newEvent()
	req.Draft, req.Description, req.Languages, req.ImageUrls = true, "Bei jedem Wetter.\nEinlass ab 16.", []string{"de", "en-GB"}, []string{"https://example.test/a.jpg"}
	s := w.sellOf(w.createEvent("draft", req), &checkoutv1.CreateVariantRequest{Name: "Wiese"})
	if s.event.GetPublication() != checkoutv1.EventPublication_EVENT_PUBLICATION_DRAFT || s.event.GetDescription() != req.GetDescription() ||
		!slices.Equal(s.event.GetLanguages(), req.GetLanguages()) || !slices.Equal(s.event.GetImageUrls(), req.GetImageUrls()) {
		t.Errorf("the draft is %v", s.event)
	}
	// seen says whether each read finds the event by its id.
	seen := func(c checkoutv1connect.CatalogServiceClient) []string {
		_, event := c.GetEvent(t.Context(), &checkoutv1.GetEventRequest{EventId: s.event.GetId()})
		_, variants := c.ListVariants(t.Context(), &checkoutv1.ListVariantsRequest{EventId: s.event.GetId()})
		_, variant := c.GetVariant(t.Context(), &checkoutv1.GetVariantRequest{VariantId: s.variant.GetId()})
		_, products := c.ListProducts(t.Context(), &checkoutv1.ListProductsRequest{EventId: s.event.GetId()})
		_, product := c.GetProduct(t.Context(), &checkoutv1.GetProductRequest{ProductId: s.product.GetId()})
		var reasons []string
		for _, err := range []error{event, variants, variant, products, product} {
			reasons = append(reasons, problem.Reason(err))
		}
		return reasons
	}
	anonymous, opts := rpc.Dial(rpc.DialConfig{BaseURL: w.replicas[0].url, Timeout: patience})
	buyer := checkoutv1connect.NewCheckoutServiceClient(anonymous, w.replicas[0].url, opts...)
	sold := func(key string) string {
		_, err := buyer.StartCheckout(w.keyed("a-key-of-128-random-bits-"+key), s.cart(1))
		return problem.Reason(err)
	}
	none, all := []string{"EVENT_NOT_FOUND", "EVENT_NOT_FOUND", "VARIANT_NOT_FOUND", "EVENT_NOT_FOUND", "PRODUCT_NOT_FOUND"}, make([]string, 5)
	if got := seen(public); !slices.Equal(got, none) {
		t.Errorf("a draft in public: %v", got)
	}
	if got := seen(staff); !slices.Equal(got, all) {
		t.Errorf("a draft for staff: %v", got)
	}
	if got, staffs := sold("draft"), w.startReason("draft", s, 1); got != "EVENT_NOT_FOUND" || staffs != "EVENT_NOT_ON_SALE" {
		t.Errorf("a checkout of a draft: %q, by staff %q", got, staffs)
	}
	_, err := staff.ArchiveEvent(w.keyed("early"), &checkoutv1.ArchiveEventRequest{EventId: s.event.GetId()})
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_IS_DRAFT")

	publish := func(key string) *checkoutv1.Event {
		res, err := staff.PublishEvent(w.keyed(key), &checkoutv1.PublishEventRequest{EventId: s.event.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetEvent()
	}
	first, again := publish("publish"), publish("publish again")
	if first.GetPublication() != checkoutv1.EventPublication_EVENT_PUBLICATION_PUBLISHED || again.GetUpdateNumber() != first.GetUpdateNumber() {
		t.Errorf("published: %v, again %v", first, again)
	}
	if got := sold("published"); got != "" {
		t.Errorf("a checkout of a published event: %q", got)
	}
	_, err = staff.DeleteDraft(w.keyed("no draft"), &checkoutv1.DeleteDraftRequest{EventId: s.event.GetId()})
	wantProblem(t, err, connect.CodeFailedPrecondition, "EVENT_NOT_DRAFT")

	if _, err := staff.ArchiveEvent(w.keyed("archive"), &checkoutv1.ArchiveEventRequest{EventId: s.event.GetId()}); err != nil {
		t.Fatal(err)
	}
	if got := seen(public); !slices.Equal(got, all) {
		t.Errorf("an archived event in public: %v", got)
	}
	if got := sold("archived"); got != "EVENT_NOT_ON_SALE" {
		t.Errorf("a checkout of an archived event: %q", got)
	}
	publish("once more")
	if got := sold("once more"); got != "" {
		t.Errorf("a checkout of an event that is published again: %q", got)
	}
	if _, err := w.pool.Exec(t.Context(), "update events set publication = 'draft' where id = $1", s.event.GetId()); err == nil {
		t.Error("a published event became a draft")
	}
	if _, err := w.pool.Exec(t.Context(), "delete from variant_versions where variant_id = $1", w.variant.GetId()); err == nil {
		t.Error("a version that is on sale was deleted")
	}
}

func TestDraftIsDeleted(t *testing.T) {
	w := newHarness(t)
	staff := w.replicas[0].catalog
	req := newEvent()
	req.Draft = true
	s := w.sellOf(w.createEvent("draft", req), &checkoutv1.CreateVariantRequest{Name: "Wiese"})
	if _, err := staff.CreateVariantVersion(w.keyed("version"), &checkoutv1.CreateVariantVersionRequest{VariantId: s.variant.GetId(), Version: s.variant.GetCurrentVersion()}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same key is answered alike
		if _, err := staff.DeleteDraft(w.keyed("delete"), &checkoutv1.DeleteDraftRequest{EventId: s.event.GetId()}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := staff.DeleteDraft(w.keyed("delete again"), &checkoutv1.DeleteDraftRequest{EventId: s.event.GetId()})
	wantProblem(t, err, connect.CodeNotFound, "EVENT_NOT_FOUND")
	for _, table := range []string{"events", "products", "variants", "variant_versions", "stock"} {
		if n := w.count("select count(*) from " + table); n != 1 { // of the event that the test began with
			t.Errorf("%d rows are left in %s, want 1", n, table)
		}
	}
}

// A draft that is deleted while variants are added to it is deleted, or has them: nothing is left behind, and no call fails otherwise.
func TestDraftIsDeletedWhileItGrows(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	for round := range 10 {
		req := newEvent()
		req.Draft = true
		s := w.sellOf(w.createEvent(fmt.Sprint("draft", round), req), &checkoutv1.CreateVariantRequest{Name: "Wiese"})
		var all sync.WaitGroup
		do := func(what string, call func(c checkoutv1connect.CatalogServiceClient) error) {
			all.Go(func() {
				err := call(w.replicas[len(what)%2].catalog)
				if reason := problem.Reason(err); err != nil && problem.Code(err) != connect.CodeNotFound {
					t.Errorf("%s: %s %v", what, reason, err)
				}
			})
		}
		do("delete", func(c checkoutv1connect.CatalogServiceClient) error {
			_, err := c.DeleteDraft(w.keyed(fmt.Sprint("delete", round)), &checkoutv1.DeleteDraftRequest{EventId: s.event.GetId()})
			return err
		})
		do("product", func(c checkoutv1connect.CatalogServiceClient) error {
			_, err := c.CreateProduct(w.keyed(fmt.Sprint("grow", round)), &checkoutv1.CreateProductRequest{EventId: s.event.GetId(), Name: "More"})
			return err
		})
		do("variant", func(c checkoutv1connect.CatalogServiceClient) error {
			_, err := c.CreateVariant(w.keyed(fmt.Sprint("grow", round)), &checkoutv1.CreateVariantRequest{
				ProductId: s.product.GetId(), Name: "More", CapacityTicketCount: 1, Version: w.variant.GetCurrentVersion(),
			})
			return err
		})
		do("a version", func(c checkoutv1connect.CatalogServiceClient) error {
			_, err := c.CreateVariantVersion(w.keyed(fmt.Sprint("grow", round)), &checkoutv1.CreateVariantVersionRequest{VariantId: s.variant.GetId(), Version: w.variant.GetCurrentVersion()})
			return err
		})
		all.Wait()
		for _, table := range []string{"products", "variants"} {
			if n := w.count("select count(*) from "+table+" where event_id = $1", s.event.GetId()); n != 0 {
				t.Errorf("%d rows of %s are left", n, table)
			}
		}
	}
}

func TestListEventsIsFiltered(t *testing.T) {
	w := newHarness(t)
	staff := w.replicas[0].catalog
	ids := map[string]string{w.event.GetId(): "first"}
	for i, name := range []string{"draft", "archived", "later", "other"} {
		req := newEvent()
		req.Draft = name == "draft"
		req.StartTime = timestamppb.New(req.GetStartTime().AsTime().AddDate(0, 0, i))
		req.EndTime = timestamppb.New(req.GetEndTime().AsTime().AddDate(0, 0, i))
		if name == "other" {
			req.OrganizerId, req.OrganizerName = "organizer000000other", "Other"
		}
		e := w.createEvent(name, req)
		ids[e.GetId()] = name
		if name == "archived" {
			if _, err := staff.ArchiveEvent(w.keyed("archive"), &checkoutv1.ArchiveEventRequest{EventId: e.GetId()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	later := timestamppb.New(time.Date(2028, 3, 3, 19, 0, 0, 0, time.UTC))
	draft, published, archived := checkoutv1.EventPublication_EVENT_PUBLICATION_DRAFT, checkoutv1.EventPublication_EVENT_PUBLICATION_PUBLISHED, checkoutv1.EventPublication_EVENT_PUBLICATION_ARCHIVED
	for name, c := range map[string]struct {
		req           *checkoutv1.ListEventsRequest
		public, staff []string
	}{
		"all":          {&checkoutv1.ListEventsRequest{}, []string{"first", "later", "other"}, []string{"first", "later", "other"}},
		"of one":       {&checkoutv1.ListEventsRequest{OrganizerId: organizerID}, []string{"first", "later"}, []string{"first", "later"}},
		"of nobody":    {&checkoutv1.ListEventsRequest{OrganizerId: "organizer00000000none"}, nil, nil},
		"from":         {&checkoutv1.ListEventsRequest{StartTimeFrom: later}, []string{"later", "other"}, []string{"later", "other"}},
		"until":        {&checkoutv1.ListEventsRequest{StartTimeUntil: later}, []string{"first"}, []string{"first"}},
		"of one, from": {&checkoutv1.ListEventsRequest{OrganizerId: organizerID, StartTimeFrom: later}, []string{"later"}, []string{"later"}},
		"unpublished": {
			&checkoutv1.ListEventsRequest{Publications: []checkoutv1.EventPublication{archived, draft}},
			[]string{"first", "later", "other"},
			[]string{"draft", "archived"},
		},
		"of one, in any state": {
			&checkoutv1.ListEventsRequest{OrganizerId: organizerID, Publications: []checkoutv1.EventPublication{published, archived, draft}},
			[]string{"first", "later"},
			[]string{"first", "draft", "archived", "later"},
		},
	} {
		for who, catalog := range map[string]checkoutv1connect.CatalogServiceClient{"public": w.public(), "staff": staff} {
			want := c.public
			if who == "staff" {
				want = c.staff
			}
			var got []string
			c.req.PageSize, c.req.PageToken = 1, ""
			for more := true; more; more = c.req.GetPageToken() != "" {
				res, err := catalog.ListEvents(t.Context(), c.req)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, who, err)
				}
				for _, e := range res.GetEvents() {
					got = append(got, ids[e.GetId()])
				}
				c.req.PageToken = res.GetNextPageToken()
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: %v, want %v", name, who, got, want)
			}
		}
	}
}

// No checkout that begins after an event was archived comes through, on any replica; those under way end in one way or the other.
func TestArchivedWhileItIsSold(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	staff := w.replicas[1].catalog
	const rounds, buyers = 4, 8
	for round := range rounds {
		var archived atomic.Bool
		var sold atomic.Int64
		var all sync.WaitGroup
		for b := range buyers {
			all.Go(func() {
				for n := range 200 {
					after := archived.Load()
					_, err := w.replicas[b%2].checkout.StartCheckout(w.keyed(fmt.Sprintf("start/%d/%d/%d", round, b, n)), w.cart(1))
					reason := problem.Reason(err)
					switch {
					case err == nil && after:
						t.Error("a checkout began after the event was archived")
					case err == nil:
						sold.Add(1)
					case reason == "EVENT_NOT_ON_SALE":
						return
					case reason != "SOLD_OUT":
						t.Errorf("start checkout: %v", err)
						return
					}
				}
			})
		}
		w.until("sold", func() bool { return sold.Load() > 2 || round > 0 && w.taken() == 100 })
		if _, err := staff.ArchiveEvent(w.keyed(fmt.Sprint("archive", round)), &checkoutv1.ArchiveEventRequest{EventId: w.event.GetId()}); err != nil {
			t.Fatal(err)
		}
		archived.Store(true)
		all.Wait()
		if _, err := staff.PublishEvent(w.keyed(fmt.Sprint("publish", round)), &checkoutv1.PublishEventRequest{EventId: w.event.GetId()}); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count("select sum(quantity) from order_lines"); n != w.taken() {
		t.Errorf("%d tickets are taken by orders of %d", w.taken(), n)
	}
}

func TestEventIsUpdated(t *testing.T) {
	w := newHarness(t)
	staff := w.replicas[0].catalog
	update := func(key string, number int64, f *checkoutv1.EventFields, paths ...string) (*checkoutv1.Event, error) {
		res, err := staff.UpdateEvent(w.keyed("update/"+key), &checkoutv1.UpdateEventRequest{EventId: w.event.GetId(), Event: f, UpdateMask: mask(paths...), UpdateNumber: number})
		return res.GetEvent(), err
	}
	sold := w.bought("before", 1)
	fields := &checkoutv1.EventFields{
		Name: "Nachtkonzert II", Description: "Neu", ImageUrls: []string{"https://example.test/b.jpg"}, Languages: []string{"de"},
		Venue:     &checkoutv1.Venue{Name: "Halle 2", Address: "Hauptstr. 2, Berlin", TimeZone: "Europe/Berlin", Latitude: new(52.5), Longitude: new(0.0)},
		DoorsTime: timestamppb.New(w.event.GetStartTime().AsTime().Add(-time.Hour)), KeepRefundedSeats: true, BuyerTicketLimit: 40,
	}
	one, err := update("name", 1, fields, "name")
	if err != nil || one.GetName() != "Nachtkonzert II" || one.GetVenue().GetName() != "Halle 1" || one.GetDescription() != "" || one.GetUpdateNumber() != 2 {
		t.Errorf("the name alone: %v, %v", one, err)
	}
	_, err = update("stale", 1, fields, "description")
	wantProblem(t, err, connect.CodeFailedPrecondition, "UPDATE_NUMBER_STALE")
	all, err := update("all", 2, fields, "name", "description", "image_urls", "languages", "venue", "keep_refunded_seats", "buyer_ticket_limit")
	if err != nil || all.GetVenue().GetName() != "Halle 2" || all.GetVenue().Longitude == nil || all.GetDoorsTime() != nil || !all.GetKeepRefundedSeats() ||
		all.GetBuyerTicketLimit() != 40 || all.GetUpdateNumber() != 3 || all.GetStartTime().AsTime() != w.event.GetStartTime().AsTime() {
		t.Errorf("all fields: %v, %v", all, err)
	}
	for name, c := range map[string]struct {
		paths  []string
		change func(f *checkoutv1.EventFields)
		reason string
	}{
		"no field":               {nil, func(*checkoutv1.EventFields) {}, "INVALID_FIELD"},
		"an unknown field":       {[]string{"start_time"}, func(*checkoutv1.EventFields) {}, "INVALID_FIELD"},
		"an empty name":          {[]string{"name"}, func(f *checkoutv1.EventFields) { f.Name = "" }, "INVALID_FIELD"},
		"no venue":               {[]string{"venue"}, func(f *checkoutv1.EventFields) { f.Venue = nil }, "INVALID_FIELD"},
		"no time zone":           {[]string{"venue"}, func(f *checkoutv1.EventFields) { f.Venue.TimeZone = "Berlin" }, "INVALID_FIELD"},
		"an image over http":     {[]string{"image_urls"}, func(f *checkoutv1.EventFields) { f.ImageUrls = []string{"http://example.test/a"} }, "INVALID_FIELD"},
		"a language in words":    {[]string{"languages"}, func(f *checkoutv1.EventFields) { f.Languages = []string{"Deutsch"} }, "INVALID_FIELD"},
		"a control character":    {[]string{"description"}, func(f *checkoutv1.EventFields) { f.Description = "a\x1bb" }, "INVALID_FIELD"},
		"doors after the start":  {[]string{"doors_time"}, func(f *checkoutv1.EventFields) { f.DoorsTime = w.event.GetEndTime() }, "INVALID_FIELD"},
		"a zone of sold tickets": {[]string{"venue"}, func(f *checkoutv1.EventFields) { f.Venue.TimeZone = "Europe/Vienna" }, "TIME_ZONE_FIXED"},
		"doors of sold tickets":  {[]string{"doors_time"}, func(f *checkoutv1.EventFields) { f.DoorsTime = fields.DoorsTime }, "DOORS_FIXED"},
	} {
		f := &checkoutv1.EventFields{Name: "X", Venue: &checkoutv1.Venue{Name: "Y", TimeZone: "Europe/Berlin"}}
		c.change(f)
		if _, err := update(name, 0, f, c.paths...); problem.Reason(err) != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
	for _, o := range []struct{ id, name, venue string }{
		{sold.GetId(), "Nachtkonzert", "Halle 1"}, {w.bought("after", 1).GetId(), "Nachtkonzert II", "Halle 2"},
	} {
		if n := w.count(`select count(*) from tickets where order_id = $1 and snapshot->>'event_name' = $2 and snapshot->'venue'->>'name' = $3`, o.id, o.name, o.venue); n != 1 {
			t.Errorf("a ticket is not of %s in %s", o.name, o.venue)
		}
	}
	free := w.createEvent("free", newEvent())
	moved, err := staff.UpdateEvent(w.keyed("zone"), &checkoutv1.UpdateEventRequest{
		EventId: free.GetId(), Event: &checkoutv1.EventFields{Venue: &checkoutv1.Venue{Name: "Bagmati", TimeZone: "Asia/Kathmandu"}, DoorsTime: fields.DoorsTime}, UpdateMask: mask("venue", "doors_time"),
	})
	if err != nil || moved.GetEvent().GetVenue().GetTimeZone() != "Asia/Kathmandu" || moved.GetEvent().GetDoorsTime() == nil {
		t.Errorf("the time zone of an event without tickets: %v, %v", moved, err)
	}
	none, err := update("remove", 0, &checkoutv1.EventFields{}, "buyer_ticket_limit", "image_urls")
	if err != nil || none.GetBuyerTicketLimit() != 0 || len(none.GetImageUrls()) != 0 {
		t.Errorf("fields that are taken away: %v, %v", none, err)
	}
}

// An event whose time zone changes while its first tickets are held: the zone of the event is that of all holds.
func TestTimeZoneChangesWhileItIsSold(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	for round := range 15 {
		s := w.sellOf(w.createEvent(fmt.Sprint("zone", round), newEvent()), &checkoutv1.CreateVariantRequest{Name: "Wiese"})
		var all sync.WaitGroup
		for b := range 3 {
			all.Go(func() {
				if _, err := w.replicas[0].checkout.StartCheckout(w.keyed(fmt.Sprintf("start/%d/%d", round, b)), s.cart(1)); err != nil {
					t.Errorf("start checkout: %v", err)
				}
			})
		}
		all.Go(func() {
			_, err := w.replicas[1].catalog.UpdateEvent(w.keyed(fmt.Sprint("zone", round)), &checkoutv1.UpdateEventRequest{
				EventId: s.event.GetId(), Event: &checkoutv1.EventFields{Venue: &checkoutv1.Venue{Name: "Wiese", TimeZone: "America/New_York"}}, UpdateMask: mask("venue"),
			})
			if err != nil && problem.Reason(err) != "TIME_ZONE_FIXED" {
				t.Errorf("update event: %v", err)
			}
		})
		all.Wait()
		if n := w.count(`select count(*) from order_lines l join orders o on o.id = l.order_id join events e on e.id = o.event_id
			where e.id = $1 and l.snapshot->'venue'->>'time_zone' <> e.time_zone`, s.event.GetId()); n != 0 {
			t.Errorf("%d orders show another time zone than their event", n)
		}
	}
}

// The states of events and variants that the database keeps are those of the rules.
func TestCatalogueStatesAreTheDatabases(t *testing.T) {
	w := newHarness(t)
	for _, state := range []order.VariantState{order.VariantOnSale, order.VariantHidden, order.VariantArchived} {
		w.exec("update variants set state = $1", string(state))
	}
	for _, publication := range []order.Publication{order.EventPublished, order.EventArchived, order.EventPublished} {
		w.exec("update events set publication = $1", string(publication))
	}
	for _, statement := range []string{"update variants set state = 'gone'", "update events set publication = 'gone'"} {
		if _, err := w.pool.Exec(t.Context(), statement); err == nil {
			t.Errorf("%s was taken", statement)
		}
	}
}
