// Durable private messages with npm didcomm-node in the plainest form: two processes, HTTP on loopback, one file each.
//
// `node durable_peer.mjs receiver FILE` and `node durable_peer.mjs sender FILE`. One JSON request on each line of stdin,
// one JSON answer on each line of stdout.
//
// {"op": "know", "documents": [...], "secrets": [...]}      the DID documents and secrets that it resolves from now on
// {"op": "listen"}                                          receiver -> {"port"}
// {"op": "send", "port", "message", "ids", "in_flight"}     sender -> {"seconds", "latencies_ms"}; all were acknowledged
// A failure is answered with {"error": text}.
//
// The sender appends the message to its file and syncs it, packs it with authcrypt and posts it; the receiver unpacks
// it, appends it to its file and syncs that, then answers; the sender appends the delivery and syncs that. Whatever waits
// for the disk at the same moment shares one sync. Nothing is sent twice, so nobody looks for duplicates.

import { open } from "node:fs/promises";
import { createServer, Agent, request as httpRequest } from "node:http";
import { createInterface } from "node:readline";
import { Message } from "didcomm-node";

const documents = new Map();
const secrets = new Map();

const didResolver = {
  async resolve(did) {
    return documents.get(did) ?? null;
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

// Lines that are on disk when `append` resolves.
class Journal {
  #file;
  #waiting = [];
  #busy = false;

  constructor(file) {
    this.#file = file;
  }

  append(entry) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line: JSON.stringify(entry) + "\n", resolve, reject });
      if (!this.#busy) this.#sync();
    });
  }

  async #sync() {
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      try {
        await this.#file.appendFile(batch.map((entry) => entry.line).join(""));
        await this.#file.datasync();
        for (const entry of batch) entry.resolve();
      } catch (error) {
        for (const entry of batch) entry.reject(error);
      }
    }
    this.#busy = false;
  }
}

const journal = new Journal(await open(process.argv[3], "a"));
const agent = new Agent({ keepAlive: true, noDelay: true });

async function bytesOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function take(incoming, outgoing) {
  try {
    const [message] = await Message.unpack(await bytesOf(incoming), didResolver, secretsResolver, {});
    await journal.append(message.as_value());
    message.free();
    outgoing.writeHead(200).end();
  } catch (error) {
    outgoing.writeHead(500).end(String(error?.message ?? error));
  }
}

function post(port, body) {
  return new Promise((resolve, reject) => {
    const headers = { "Content-Type": "application/didcomm-encrypted+json", "Content-Length": Buffer.byteLength(body) };
    const outgoing = httpRequest({ host: "127.0.0.1", port, method: "POST", agent, headers }, async (incoming) => {
      try {
        const text = await bytesOf(incoming);
        if (incoming.statusCode === 200) resolve();
        else reject(new Error(text));
      } catch (error) {
        reject(error);
      }
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

async function deliver(port, value) {
  await journal.append(value);
  const message = new Message(value);
  const [packed] = await message.pack_encrypted(
    value.to[0], value.from, null, didResolver, secretsResolver, { forward: false },
  );
  message.free();
  await post(port, packed);
  await journal.append({ delivered: value.id });
}

const operations = {
  async know(request) {
    for (const document of request.documents) documents.set(document.id, document);
    for (const secret of request.secrets) secrets.set(secret.id, secret);
    return {};
  },
  async listen() {
    const server = createServer(take);
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { port: server.address().port };
  },
  async send(request) {
    const ids = request.ids.values();
    const latencies_ms = [];
    const work = async () => {
      for (const id of ids) {
        const began = performance.now();
        await deliver(request.port, { ...request.message, id });
        latencies_ms.push(performance.now() - began);
      }
    };
    const began = performance.now();
    await Promise.all(Array.from({ length: request.in_flight }, work));
    return { seconds: (performance.now() - began) / 1000, latencies_ms };
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
