// Package stripe is a stateful stand-in for Stripe: its v1 API in the shapes of version 2023-10-16, and the signed
// webhooks that follow from every change.
//
// It is honest: it does nothing that Stripe would not do, and what it does not know it refuses aloud with the error code
// sandbox_unsupported. Amounts are in minor units. All objects are immutable snapshots; see change.go for how they change
// and journal.go for how they survive a restart.
//
// # Control API
//
// Under /_sandbox/, JSON in and out, no authentication, errors in Stripe's shape. ?account=acct_... acts on a connected account
// where the path does not name an object.
//
//	GET, PUT  webhook_endpoints           [{id?, url, secret, old_secrets?, connect, api_version?, enabled_events?}]
//	GET, PATCH settings                   see Settings; PATCH changes the named ones
//	POST webhooks/withhold                {payment_intent?}: keep back the events of one intent, or all
//	POST webhooks/release                 {payment_intent?, drop?}: send (or drop) what was kept back -> {released}
//	POST events/{id}/resend               send one event once more
//	GET  idle                             {idle, queued, in_flight, scheduled, withheld}; idle ignores what is withheld, and
//	                                      with ?payment_intent=ID (repeatable) all that is about other intents
//	GET, DELETE requests                  API calls, newest last: time, idempotency key, status, replayed...
//	GET  deliveries                       attempts to deliver, newest last: event, endpoint, attempt, status, outcome
//	GET  events?payment_intent=&type=     events as they were made, newest last
//	GET  objects?kind=payment_intent      all objects of a kind over all accounts, oldest first: [{account, object}]
//	PUT  objects/{id}                     load an object as it is, no event; unknown balance transactions it names are made
//	POST payment_intents/{id}/confirm     pay as the buyer would {payment_method?=pm_card_visa, iban?, challenge?=pass|fail|leave}
//	POST payment_intents/{id}/authenticate {passed}: end an open 3-D Secure challenge
//	POST payment_intents/{id}/settle      {succeeded?}: end a bank debit that is processing
//	POST payment_intents/{id}/expire      let an uncaptured authorisation lapse
//	POST disputes                         {charge | payment_intent, amount?, reason?=fraudulent, inquiry?}
//	POST disputes/{id}/close              {status: won|lost|warning_closed, return_fee?}
//	POST disputes/{id}/escalate           an inquiry becomes a chargeback
//	POST disputes/{id}/reinstate          {return_fee?}: the money of a lost one comes back
//	POST charges/{id}/early_fraud_warning {fraud_type?}
//	POST charges/{id}/review              {reason?=rule}: a manual review opens
//	POST reviews/{id}/close               {closed_reason?=approved}
//	POST payouts                          {currency?=eur}: the automatic payout of all that is available
//	POST payouts/{id}/in_transit, payouts/{id}/paid
//	POST payouts/{id}/fail                {failure_code?}: also after it was paid
//	PUT  accounts/{id}                    connect or change an account {charges_enabled?, payouts_enabled?, details_submitted?,
//	                                      currently_due?, disabled_reason?, country?, default_currency?, email?, metadata?}
//	POST accounts/{id}/deauthorize        it leaves: no call may name it any more
//	POST accounts/{id}/bank_account       {change?=created|updated|deleted, bank_account?}: where its payouts go
//	POST refunds/{id}/fail                {reason?}: also days after it succeeded
//	POST refunds/{id}/succeed             end a pending refund
//	POST refunds/{id}/reference           {reference?}: the acquirer's number became known
//	POST refunds/{id}/require_action      a pending refund waits for the buyer
//	POST refunds/{id}/cancel              the buyer never acted: it is canceled, and the money is back
package stripe
