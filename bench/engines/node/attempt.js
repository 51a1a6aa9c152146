// A checkout attempt as a plain Node service makes it: one transaction per step, each of which the next one builds on. Statements and
// tables are those of attempt.go. Settings come from the environment: PORT, DATABASE_URL, CONNECTIONS and PARTIES_URL.
import express from "express";
import pg from "pg";

const { PORT, DATABASE_URL, CONNECTIONS, PARTIES_URL } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: Number(CONNECTIONS) });
const price = 4900;
const app = express();
app.use(express.json());

// transaction runs statements, each prepared once per connection: [name, text, values].
async function transaction(...statements) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const results = [];
    for (const [name, text, values] of statements) results.push(await client.query({ name, text, values }));
    await client.query("COMMIT");
    return results;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

async function call(path, key, fields) {
  const response = await fetch(PARTIES_URL + path, {
    method: "POST",
    headers: { "Idempotency-Key": key, "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(fields).toString(),
  });
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  return (await response.json()).id;
}

app.get("/healthz", (request, response) => response.json({ status: "serving" }));

app.post("/attempt", async (request, response) => {
  const { key, variant, quantity, email } = request.body;
  await transaction(
    ["key", "INSERT INTO idempotency_keys (key, order_id) VALUES ($1, $1)", [key]],
    ["order", "INSERT INTO orders (id, variant, quantity, email, total_minor_units) VALUES ($1, $2, $3, $4, $5)", [key, variant, quantity, email, price * quantity]],
    ["hold", "INSERT INTO holds (order_id) VALUES ($1)", [key]],
    ["stock", "UPDATE stock SET taken = taken + $2 WHERE variant = $1", [variant, quantity]],
  );
  const intent = await call("/v1/payment_intents", key, { amount: price * quantity, currency: "eur", "metadata[order]": key });
  await transaction(["intent", "UPDATE orders SET payment_intent = $2 WHERE id = $1", [key, intent]]);
  await transaction(["payment", "INSERT INTO payments (payment_intent, order_id, minor_units) VALUES ($1, $2, $3)", [intent, key, price * quantity]]);
  const entry = await call("/entries", key, { amount: price * quantity, currency: "eur", payment_intent: intent });
  await transaction(["entry", "UPDATE orders SET ledger_entry = $2 WHERE id = $1", [key, entry]]);
  const [completed] = await transaction(
    ["complete", "UPDATE orders SET state = 'completed', next_attempt_time = NULL, complete_time = now() WHERE id = $1 AND state = 'pending'", [key]],
    ["consume", "UPDATE holds SET state = 'consumed' WHERE order_id = $1", [key]],
    ["tickets", "INSERT INTO tickets (id, order_id, position) SELECT $1 || '-' || n, $1, n FROM generate_series(1, $2::integer) AS n", [key, quantity]],
  );
  if (completed.rowCount !== 1) throw new Error(`order ${key} was completed before`);
  response.json({ order: key });
});

app.listen(Number(PORT), "127.0.0.1");
