// A ticket shop as a plain Node service: Express, pg and stripe, one transaction per step, no ledger and no passes. An order is
// completed by whoever comes first, the buyer's browser (POST /complete) or Stripe's signed webhook. Settings come from the environment:
// PORT, DATABASE_URL, CONNECTIONS, STRIPE_URL and WEBHOOK_SECRET.
import { randomUUID } from "node:crypto";
import express from "express";
import pg from "pg";
import Stripe from "stripe";

const { PORT, DATABASE_URL, CONNECTIONS, STRIPE_URL, WEBHOOK_SECRET } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: Number(CONNECTIONS) });
const { hostname, port, protocol } = new URL(STRIPE_URL);
const stripe = new Stripe("sk_test_dayof", { host: hostname, port, protocol: protocol.replace(":", ""), telemetry: false });
const price = 4900;
const app = express();

// transaction runs work on a connection between BEGIN and COMMIT. query prepares each statement once per connection.
async function transaction(work) {
  const client = await pool.connect();
  const query = (name, text, ...values) => client.query({ name, text, values });
  try {
    await client.query("BEGIN");
    const result = await work(query);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

// complete issues the tickets of a paid order. Idempotent: the row of a completed order no longer matches.
async function complete(order, intent) {
  await transaction(async (query) => {
    const completed = await query("complete", `UPDATE orders SET state = 'completed', next_attempt_time = NULL, complete_time = now()
      WHERE id = $1 AND payment_intent = $2 AND state = 'pending' RETURNING quantity`, order, intent.id);
    if (completed.rowCount === 0) return;
    const { quantity } = completed.rows[0];
    if (intent.amount_received !== price * quantity) throw new Error(`order ${order}: ${intent.amount_received} was paid`);
    await query("payment", "INSERT INTO payments (payment_intent, order_id, minor_units) VALUES ($1, $2, $3)", intent.id, order, intent.amount_received);
    await query("consume", "UPDATE holds SET state = 'consumed' WHERE order_id = $1", order);
    await query("tickets", "INSERT INTO tickets (id, order_id, position) SELECT $1 || '-' || n, $1, n FROM generate_series(1, $2::integer) AS n", order, quantity);
  });
}

app.get("/healthz", (request, response) => response.json({ status: "serving" }));

app.post("/webhooks/stripe", express.raw({ type: "application/json", limit: "512kb" }), async (request, response) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, request.headers["stripe-signature"], WEBHOOK_SECRET);
  } catch {
    return response.status(400).json({ error: "not a signed event" });
  }
  if (event.type === "payment_intent.succeeded") await complete(event.data.object.metadata.order, event.data.object);
  response.json({ received: true });
});

app.use(express.json());

app.post("/checkout", async (request, response) => {
  const { variant, quantity, email } = request.body;
  const order = randomUUID();
  await transaction(async (query) => {
    await query("order", "INSERT INTO orders (id, variant, quantity, email, total_minor_units) VALUES ($1, $2, $3, $4, $5)", order, variant, quantity, email, price * quantity);
    await query("hold", "INSERT INTO holds (order_id) VALUES ($1)", order);
    await query("stock", "UPDATE stock SET taken = taken + $2 WHERE variant = $1", variant, quantity);
  });
  const intent = await stripe.paymentIntents.create(
    { amount: price * quantity, currency: "eur", metadata: { order }, receipt_email: email },
    { idempotencyKey: order },
  );
  await transaction((query) => query("intent", "UPDATE orders SET payment_intent = $2 WHERE id = $1", order, intent.id));
  response.json({ order, payment_intent: intent.id, client_secret: intent.client_secret });
});

app.post("/complete", async (request, response) => {
  const { order } = request.body;
  const { rows } = await pool.query({ name: "read", text: "SELECT payment_intent FROM orders WHERE id = $1", values: [order] });
  const intent = await stripe.paymentIntents.retrieve(rows[0].payment_intent);
  if (intent.status !== "succeeded") return response.status(409).json({ error: `the payment is ${intent.status}` });
  await complete(order, intent);
  const tickets = await pool.query({ name: "issued", text: "SELECT id FROM tickets WHERE order_id = $1 ORDER BY position", values: [order] });
  response.json({ order, tickets: tickets.rows.map((ticket) => ticket.id) });
});

app.listen(Number(PORT), "127.0.0.1");
