// A small DIDComm agent: npm didcomm-node for envelopes, Node's HTTP and npm ws for transport, DIDs that it makes and
// resolves itself. It listens on HTTP, remembers what it got, answers pings, and acknowledges where it is asked to.
//
// One JSON request on each line of stdin, one JSON answer on each line of stdout, {"error": text} for a failure.
//
// {"op": "be", "method": "peer" | "key" | "web"}        -> {"did", "url"}: be somebody new; a did:key has no address
// {"op": "know", "document"}                            documents of others, in place of what their DIDs say
// {"op": "resolve", "did"}                              -> {"document"} as it is used here
// {"op": "send", "to", "message", "form", "enc", "by"}  -> {"id", "url", "status", "reply"}: to where its document
//                                                       says, or over the socket; `reply` is what the response carried
// {"op": "sign", "message", "url"}                      -> {"status"}: signed only, posted to a URL
// {"op": "received"}                                    -> {"messages": [{"message", "metadata", "by"}]}, oldest first
// {"op": "answer", "apart"}                             answer by a POST of its own even if the response could carry it
// {"op": "invite", "goal"}                              -> {"id", "url"}: an out-of-band invitation
// {"op": "read", "url"}                                 -> {"message"}: one of somebody else
// {"op": "mediate", "by", "version"}                    -> {"did", "routing_did"}: ask for mediation, be behind it
// {"op": "pick_up", "version", "limit"}                 -> {"counts", "messages"}: fetch what the mediator holds
// {"op": "connect", "to"}                               a WebSocket to where a recipient's document says

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { randomUUID } from "node:crypto";
import { Message } from "didcomm-node";
import WebSocket from "ws";
import {
  makeDidKey, makeDidPeer, makeDidWebDocument, makeKeys, readDocument, resolve, secretsOf,
} from "./foreign_dids.mjs";

const PLAIN = "application/didcomm-plain+json";
const ENCRYPTED = "application/didcomm-encrypted+json";
const ANONYMOUS = {
  "XC20P": "Xc20pEcdhEsA256kw",
  "A256GCM": "A256gcmEcdhEsA256kw",
  "A256CBC-HS512": "A256cbcHs512EcdhEsA256kw",
};
const ANSWER_MS = 20_000;
const PING = "https://didcomm.org/trust-ping/2.0/ping";
const EMPTY = "https://didcomm.org/empty/1.0/empty";
const INVITATION = "https://didcomm.org/out-of-band/2.0/invitation";
const COORDINATION = "https://didcomm.org/coordinate-mediation";
const PICKUP = {
  "3.0": { uri: "https://didcomm.org/messagepickup/3.0", limit: "limit" },
  "4.0": { uri: "https://didcomm.org/message-pickup/4.0", limit: "message_count_limit" },
};

const known = new Map();
const secrets = new Map();
const received = [];
let me = null; // {did, keys, document}
let mediator = null; // its DID, and who we are to it
let socket = null;
let apart = false;
let webDocument = null;

const didResolver = {
  async resolve(did) {
    if (!known.has(did)) known.set(did, await resolve(did));
    return known.get(did);
  },
};
const secretsResolver = {
  async get_secret(id) {
    return secrets.get(id) ?? null;
  },
  async find_secrets(ids) {
    return ids.filter((id) => secrets.has(id));
  },
};

const server = createServer(serve);
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${server.address().port}/`;

async function become(did, keys, document) {
  document ??= await resolve(did);
  for (const secret of secretsOf(document, keys)) secrets.set(secret.id, secret);
  known.set(did, document);
  me = { did, keys, document };
}

// Messages

async function pack(to, fields, { form = "authcrypt", enc = "XC20P", forward = true, as = me } = {}) {
  const from = form === "anoncrypt" ? {} : { from: as.did };
  const created_time = Math.floor(Date.now() / 1000);
  const value = { id: randomUUID(), typ: PLAIN, to: [to], created_time, ...from, ...fields };
  const message = new Message(value);
  const [packed, metadata] = await message.pack_encrypted(
    to,
    ["authcrypt", "authcrypt-signed", "anoncrypt-authcrypt"].includes(form) ? as.did : null,
    form.endsWith("-signed") ? as.document.authentication[0] : null,
    didResolver,
    secretsResolver,
    { forward, protect_sender: form === "anoncrypt-authcrypt", enc_alg_anon: ANONYMOUS[enc] },
  );
  message.free();
  // The library names the place only where it has wrapped the message for a mediator.
  const { service } = await didResolver.resolve(to);
  const endpoint = metadata.messaging_service?.service_endpoint ?? service[0]?.serviceEndpoint.uri;
  return { id: value.id, packed, endpoint };
}

async function unpack(packed, by) {
  const [message, metadata] = await Message.unpack(packed, didResolver, secretsResolver, {});
  const entry = { message: message.as_value(), metadata, by };
  message.free();
  received.push(entry);
  return entry;
}

async function post(endpoint, body, type = ENCRYPTED) {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const response = await fetch(endpoint, { method: "POST", headers: { "Content-Type": type }, body, signal });
  const carried = Buffer.from(await response.arrayBuffer()).toString();
  const isMessage = response.status === 200 && response.headers.get("content-type") === ENCRYPTED;
  return { url: endpoint, status: response.status, reply: isMessage ? await unpack(carried, "response") : null };
}

async function send(to, fields, options = {}) {
  const { id, packed, endpoint } = await pack(to, fields, { ...options, forward: options.by !== "socket" });
  if (options.by === "socket") {
    socket.send(packed);
    return { id };
  }
  if (endpoint === undefined) throw new Error(`${to} says nowhere where it takes messages`);
  return { id, ...(await post(endpoint, packed)) };
}

// Asks over HTTP and takes the answer out of the response.
async function ask(to, fields, options) {
  const { status, reply } = await send(to, { return_route: "all", ...fields }, options);
  if (reply === null) throw new Error(`status ${status}, and no answer to ${fields.type}`);
  return reply.message;
}

// What is to be said to a message, or null.
function answerTo(message) {
  const acks = (message.please_ack ?? []).map((id) => id || message.id);
  const ack = acks.length ? { ack: acks } : {};
  const thid = message.thid ?? message.id;
  if (message.type === PING && message.body.response_requested !== false) {
    return { type: "https://didcomm.org/trust-ping/2.0/ping-response", body: {}, thid, ...ack };
  }
  return acks.length ? { type: EMPTY, body: {}, thid, ...ack } : null;
}

async function serve(incoming, outgoing) {
  if (incoming.method === "GET") {
    outgoing.writeHead(webDocument && incoming.url === "/.well-known/did.json" ? 200 : 404);
    outgoing.end(webDocument ? JSON.stringify(webDocument) : "");
    return;
  }
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  try {
    const { message } = await unpack(Buffer.concat(chunks).toString(), "post");
    const answer = answerTo(message);
    if (answer && message.return_route === "all" && !apart) {
      const { packed } = await pack(message.from, answer, { forward: false });
      outgoing.writeHead(200, { "Content-Type": ENCRYPTED }).end(packed);
      return;
    }
    outgoing.writeHead(202).end();
    if (answer) await send(message.from, answer);
  } catch (error) {
    received.push({ error: String(error?.message ?? error) });
    if (!outgoing.headersSent) outgoing.writeHead(400).end();
  }
}

async function takeFrame(frame) {
  try {
    const { message } = await unpack(frame.toString(), "socket");
    const answer = answerTo(message);
    if (answer) await send(message.from, answer, { by: "socket" });
  } catch (error) {
    received.push({ error: String(error?.message ?? error) });
  }
}

function open(address) {
  return new Promise((opened, failed) => {
    socket = new WebSocket(address);
    socket.on("open", opened);
    socket.on("error", failed);
    socket.on("message", takeFrame);
  });
}

// What it does when it is told to

const operations = {
  async be({ method }) {
    const keys = makeKeys({ related: method === "key" });
    if (method === "key") await become(makeDidKey(keys), keys);
    if (method === "peer") await become(makeDidPeer(keys, { uri: url }), keys);
    if (method === "web") {
      const did = `did:web:${encodeURIComponent(new URL(url).host)}`;
      webDocument = makeDidWebDocument(did, keys, url);
      await become(did, keys, readDocument(webDocument));
    }
    return { did: me.did, url };
  },
  async know({ document }) {
    known.set(document.id, readDocument(document));
    return {};
  },
  async resolve({ did }) {
    return { document: await didResolver.resolve(did) };
  },
  async send({ to, message, form, enc, by }) {
    return send(to, message, { form, enc, by });
  },
  async sign({ message, url: endpoint }) {
    const value = { id: randomUUID(), typ: PLAIN, from: me.did, ...message };
    const signed = new Message(value);
    const [packed] = await signed.pack_signed(me.document.authentication[0], didResolver, secretsResolver);
    signed.free();
    return post(endpoint, packed, "application/didcomm-signed+json");
  },
  async received() {
    return { messages: received };
  },
  async answer(request) {
    apart = request.apart;
    return {};
  },
  async invite({ goal }) {
    const id = randomUUID();
    const body = { goal, accept: ["didcomm/v2"] };
    const invitation = { id, typ: PLAIN, type: INVITATION, from: me.did, body };
    const encoded = Buffer.from(JSON.stringify(invitation)).toString("base64url");
    return { id, url: `https://agent.example/?_oob=${encoded}` };
  },
  async read({ url: link }) {
    return { message: JSON.parse(Buffer.from(new URL(link).searchParams.get("_oob"), "base64url")) };
  },
  async mediate({ by, version }) {
    const uri = `${COORDINATION}/${version}`;
    const granted = await ask(by, { type: `${uri}/mediate-request`, body: {} });
    if (granted.type !== `${uri}/mediate-grant`) throw new Error(`not granted: ${JSON.stringify(granted)}`);
    const routing_did = [granted.body.routing_did].flat()[0];
    const behind = makeDidPeer(me.keys, {
      uri: (await didResolver.resolve(by)).service[0].serviceEndpoint.uri, routingKeys: [routing_did],
    });
    const updated = await ask(by, {
      type: version === "2.0" ? `${uri}/keylist-update` : `${uri}/recipient-update`,
      body: { updates: [{ recipient_did: behind, action: "add" }] },
    });
    if (updated.body.updated?.[0]?.result !== "success") throw new Error(`not registered: ${JSON.stringify(updated)}`);
    mediator = { did: by, as: me };
    await become(behind, me.keys);
    return { did: behind, routing_did };
  },
  async pick_up({ version, limit }) {
    const { uri, limit: name } = PICKUP[version];
    const { did, as } = mediator;
    const count = async () => {
      const status = await ask(did, { type: `${uri}/status-request`, body: { recipient_did: me.did } }, { as });
      if (status.type !== `${uri}/status`) throw new Error(`no status: ${JSON.stringify(status)}`);
      return status.body.message_count;
    };
    const counts = [await count()];
    const messages = [];
    while (counts.at(-1) > 0) {
      const body = { [name]: limit, recipient_did: me.did };
      const delivery = await ask(did, { type: `${uri}/delivery-request`, body }, { as });
      const ids = [];
      for (const attachment of delivery.attachments) {
        messages.push(await unpack(Buffer.from(attachment.data.base64, "base64url").toString(), "pickup"));
        ids.push(attachment.id);
      }
      const confirmed = { type: `${uri}/messages-received`, body: { message_id_list: ids }, return_route: "all" };
      await send(did, confirmed, { as });
      counts.push(await count());
    }
    return { counts, messages };
  },
  async connect({ to }) {
    const { uri } = (await didResolver.resolve(to)).service[0].serviceEndpoint;
    await open(uri.replace(/^http/, "ws"));
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = await operations[request.op](request);
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit(0);
