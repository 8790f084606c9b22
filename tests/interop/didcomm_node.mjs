// Speaks for npm didcomm-node: one JSON request on each line of stdin, one JSON answer on each line of stdout.
//
// {"op": "know", "documents": [...], "secrets": [...]}           the DID documents and secrets that it resolves from now on
// {"op": "encrypt", "message", "to", "from", "sign_by", "enc", "protect_sender"}
//                                                                -> {"packed"}; from and sign_by may be null
// {"op": "sign", "message", "by"}                                -> {"packed"}
// {"op": "rotate", "claims", "by"}                               -> {"jwt"}: a from_prior
// {"op": "unpack", "packed"}                                     -> {"message", "metadata"}
// {"op": "measure", "what": {op, ...}, "count"}                  -> {"cpu_s"}: CPU seconds for `count` repetitions of one
//     of these without "rotate", or of {"op": "forward", "packed", "to", "routing_keys"}, or {"op": "read forward", "packed"}
// A failure is answered with {"error": text}.

import { createInterface } from "node:readline";
import { FromPrior, Message } from "didcomm-node";

const ANONYMOUS = {
  "XC20P": "Xc20pEcdhEsA256kw",
  "A256GCM": "A256gcmEcdhEsA256kw",
  "A256CBC-HS512": "A256cbcHs512EcdhEsA256kw",
};

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

function encryptOptions(request) {
  return {
    forward: false,
    protect_sender: request.protect_sender ?? false,
    enc_alg_anon: ANONYMOUS[request.enc ?? "XC20P"],
  };
}

const operations = {
  async know(request) {
    for (const document of request.documents) documents.set(document.id, document);
    for (const secret of request.secrets) secrets.set(secret.id, secret);
    return {};
  },
  async encrypt(request) {
    const message = new Message(request.message);
    const [packed] = await message.pack_encrypted(
      request.to, request.from, request.sign_by, didResolver, secretsResolver, encryptOptions(request),
    );
    return { packed };
  },
  async sign(request) {
    const [packed] = await new Message(request.message).pack_signed(request.by, didResolver, secretsResolver);
    return { packed };
  },
  async rotate(request) {
    const [jwt] = await new FromPrior(request.claims).pack(request.by, didResolver, secretsResolver);
    return { jwt };
  },
  async unpack(request) {
    const [message, metadata] = await Message.unpack(request.packed, didResolver, secretsResolver, {});
    return { message: message.as_value(), metadata };
  },
  async measure(request) {
    const repeat = repetition(request.what);
    for (let i = 0; i < request.count / 10; i++) await repeat();
    const start = process.cpuUsage();
    for (let i = 0; i < request.count; i++) await repeat();
    const used = process.cpuUsage(start);
    return { cpu_s: (used.user + used.system) / 1e6 };
  },
};

// What is measured leaves out the parts that a caller does once: making the message object, reading its fields.
function repetition(what) {
  if (what.op === "unpack") {
    return async () => {
      const [message] = await Message.unpack(what.packed, didResolver, secretsResolver, {});
      message.free();
    };
  }
  if (what.op === "read forward") {
    return async () => {
      const [message] = await Message.unpack(what.packed, didResolver, secretsResolver, {});
      JSON.stringify(message.try_parse_forward().forwarded_msg);
      message.free();
    };
  }
  if (what.op === "forward") {
    return () =>
      Message.wrap_in_forward(what.packed, {}, what.to, what.routing_keys, ANONYMOUS["XC20P"], didResolver);
  }
  const message = new Message(what.message);
  if (what.op === "sign") return () => message.pack_signed(what.by, didResolver, secretsResolver);
  const options = encryptOptions(what);
  return () => message.pack_encrypted(what.to, what.from, what.sign_by, didResolver, secretsResolver, options);
}

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
