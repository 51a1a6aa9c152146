// The handler that bench/webhooks measures webhooksvc against, as Stripe's documentation and most projects have it: verify
// the signature over the raw body, insert id and body once, answer 200. Settings come from the environment: PORT,
// DATABASE_URL, CONNECTIONS and SECRET.
import express from "express";
import pg from "pg";
import Stripe from "stripe";

const { PORT, DATABASE_URL, CONNECTIONS, SECRET } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: Number(CONNECTIONS) });
const stripe = new Stripe("sk_test_bench");
const app = express();

app.get("/healthz", (request, response) => response.json({ status: "serving" }));

app.post("/webhooks/stripe", express.raw({ type: "application/json", limit: "512kb" }), async (request, response) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, request.headers["stripe-signature"], SECRET);
  } catch {
    return response.status(400).json({ error: "not a signed event" });
  }
  await pool.query({
    name: "insert_event", // prepared once per connection
    text: "INSERT INTO express_events (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
    values: [event.id, request.body],
  });
  response.json({ received: true });
});

app.listen(Number(PORT), "127.0.0.1");
