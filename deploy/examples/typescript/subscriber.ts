// Keeps what every wallet holds, in a file: npm ci && npm run build && npm start
//
//   FLORIN_URL=http://127.0.0.1:3000 NATS_URL=nats://user:password@127.0.0.1:4222 STATE=balances.json
//   [FLORIN_TOKEN=…] [NATS_CA=ca.pem] [NAME=typescript-balances]
//
// Balances and positions are saved together, so each event counts once, whatever is delivered again
// and whenever this is killed. Positions are dense: what is missing is read from the journal.
import { renameSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AckPolicy, connect, type JsMsg, type NatsConnection } from "nats";

const { FLORIN_URL = "http://127.0.0.1:3000", FLORIN_TOKEN, NATS_CA } = process.env;
const { NAME = "typescript-balances", STATE = "balances.json" } = process.env;
const NATS = new URL(process.env["NATS_URL"] ?? "nats://127.0.0.1:4222");
const [STREAM, RETRY_MS, LOOK_MS] = ["LEDGER", 500, 10_000];

type Change = { partition: number; position: number; walletId?: string; balance?: string };
type State = { positions: Record<number, number>; balances: Record<string, string> };

const state: State = load();
const at = (partition: number) => state.positions[partition] ?? 0;

function load(): State {
  try {
    return JSON.parse(readFileSync(STATE, "utf8"));
  } catch {
    return { positions: {}, balances: {} };
  }
}

// A file takes the place of another at once: a reader sees the one or the other.
function save() {
  writeFileSync(`${STATE}.new`, JSON.stringify(state));
  renameSync(`${STATE}.new`, STATE);
}

function apply({ partition, position, walletId, balance }: Change) {
  if (position !== at(partition) + 1) throw new Error(`${partition}-${position} is not the next`);
  // Amounts are texts: a number would lose cents.
  if (walletId !== undefined && balance !== undefined) state.balances[walletId] = balance;
  state.positions[partition] = position;
}

async function page(partition: number) {
  const query = `partition=${partition}&after=${at(partition)}&limit=1000`;
  const headers = FLORIN_TOKEN ? { authorization: `Bearer ${FLORIN_TOKEN}` } : undefined;
  const answer = await fetch(`${FLORIN_URL}/events?${query}`, { headers });
  if (!answer.ok) throw new Error(`GET /events: ${answer.status} ${await answer.text()}`);
  // <partition>-<position>, …: where the journal ends in every partition.
  const heads = answer.headers.get("florin-position")?.split(",").map((head) => head.split("-"));
  const body = (await answer.json()) as { data: Change[]; hasMore: boolean };
  return { ...body, partitions: (heads ?? []).map(([partition]) => Number(partition)) };
}

async function readJournal(partition: number) {
  for (let more = true; more; ) {
    const { data, hasMore } = await page(partition);
    data.forEach(apply);
    save();
    more = hasMore;
  }
}

async function take(message: JsMsg) {
  const header = (name: string) => message.headers?.get(name) ?? "";
  const change: Change = {
    partition: Number(header("ce-partition")),
    position: Number(header("ce-position")),
    walletId: /^wallet\/(.+)$/.exec(header("ce-subject"))?.[1],
    balance: header("ce-balance") || undefined,
  };
  if (change.position > at(change.partition) + 1) await readJournal(change.partition);
  if (change.position === at(change.partition) + 1) {
    apply(change);
    save();
  }
  message.ack();
}

async function follow(nats: NatsConnection) {
  const manager = await nats.jetstreamManager();
  await manager.consumers.add(STREAM, { durable_name: NAME, ack_policy: AckPolicy.Explicit });
  const consumer = await nats.jetstream().consumers.get(STREAM, NAME);
  // After it is there: what came before, and was delivered to nobody, is read from the journal.
  for (const partition of (await page(0)).partitions) await readJournal(partition);
  const messages = await consumer.consume({ max_messages: 500 });
  // A consumer that is gone, or silent, is no error of the iterator: it is stopped, and made again.
  void (async () => {
    const over = ["consumer_deleted", "consumer_not_found", "stream_not_found", "heartbeats_missed"];
    for await (const { type } of await messages.status()) if (over.includes(type)) messages.stop();
  })();
  // Also while nothing comes: what JetStream lost, or nobody publishes, is in the journal.
  setTimeout(() => messages.stop(), LOOK_MS);
  for await (const message of messages) await take(message);
}

const nats = await connect({
  servers: NATS.host,
  user: NATS.username || undefined,
  pass: NATS.password || undefined,
  // An inbox that nobody else may read: see deploy/nats/server.conf.
  inboxPrefix: NATS.username && NATS.password ? `_INBOX_${NATS.username}` : undefined,
  tls: NATS.protocol === "tls:" ? { caFile: NATS_CA } : undefined,
  maxReconnectAttempts: -1,
  waitOnFirstConnect: true,
});
for (;;) {
  try {
    await follow(nats);
  } catch (error) {
    console.error(String(error));
  }
  await sleep(RETRY_MS);
}
