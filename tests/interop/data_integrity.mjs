// Speaks for npm @digitalbazaar/vc with its two EdDSA cryptosuites: one JSON request on each line of stdin, one JSON
// answer on each line of stdout.
//
// {"op": "know", "contexts": {url: document}}                      the contexts that it loads from now on
// {"op": "issue", "credential", "seed", "suite"}                   -> {"document"}; seed is 32 bytes in hex
// {"op": "present", "presentation", "seed", "suite", "challenge", "domain"}  -> {"document"}
// {"op": "verify", "document", "suite"}                            -> {"verified", "reason"}
// {"op": "verify_presentation", "document", "suite", "challenge", "domain"}  -> {"verified", "reason"}
// {"op": "canonize", "document"}                                   -> {"nquads"}
// {"op": "measure", "what": {op, ...}, "count"}                    -> {"cpu_s"}: CPU seconds for `count` repetitions
// A failure is answered with {"error": text}.

import { createInterface } from "node:readline";
import { DataIntegrityProof } from "@digitalbazaar/data-integrity";
import * as Ed25519Multikey from "@digitalbazaar/ed25519-multikey";
import * as jcs from "@digitalbazaar/eddsa-jcs-2022-cryptosuite";
import { cryptosuite as rdfc } from "@digitalbazaar/eddsa-rdfc-2022-cryptosuite";
import * as vc from "@digitalbazaar/vc";

const contexts = new Map();
const keys = new Map(); // by seed: making a key is no part of signing

async function documentLoader(url) {
  if (contexts.has(url)) return { contextUrl: null, documentUrl: url, document: contexts.get(url) };
  if (url.startsWith("did:key:")) {
    return { contextUrl: null, documentUrl: url, document: resolved(url) };
  }
  throw new Error(`not known here: ${url}`);
}

// did:key v0.9, as much of it as signing needs.
function resolved(url) {
  const [did, fragment] = url.split("#");
  const publicKeyMultibase = did.slice("did:key:".length);
  const method = {
    "@context": "https://w3id.org/security/multikey/v1",
    id: `${did}#${publicKeyMultibase}`,
    type: "Multikey",
    controller: did,
    publicKeyMultibase,
  };
  if (fragment) return method;
  return {
    "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
    id: did,
    verificationMethod: [method],
    authentication: [method.id],
    assertionMethod: [method.id],
  };
}

async function keyOf(hex) {
  if (!keys.has(hex)) {
    const seed = Buffer.from(hex, "hex");
    const { publicKeyMultibase } = await Ed25519Multikey.generate({ seed });
    keys.set(hex, await Ed25519Multikey.generate({ seed, controller: `did:key:${publicKeyMultibase}` }));
  }
  return keys.get(hex);
}

async function signing(request) {
  const key = await keyOf(request.seed);
  const cryptosuite = request.suite === "eddsa-jcs-2022" ? jcs.createSignCryptosuite() : rdfc;
  return new DataIntegrityProof({ signer: key.signer(), cryptosuite });
}

function verifying(request) {
  const cryptosuite = request.suite === "eddsa-jcs-2022" ? jcs.createVerifyCryptosuite() : rdfc;
  return new DataIntegrityProof({ cryptosuite });
}

const checkStatus = async () => ({ verified: true });

function verdict(result) {
  return { verified: result.verified, reason: JSON.stringify(result.error ?? null, errorFields) };
}

function errorFields(name, value) {
  return value instanceof Error ? { message: value.message, errors: value.errors, cause: value.cause } : value;
}

const operations = {
  async know(request) {
    for (const [url, document] of Object.entries(request.contexts)) contexts.set(url, document);
    return {};
  },
  async issue(request) {
    const suite = await signing(request);
    return { document: await vc.issue({ credential: request.credential, suite, documentLoader }) };
  },
  async present(request) {
    const suite = await signing(request);
    const { presentation, challenge, domain } = request;
    return { document: await vc.signPresentation({ presentation, suite, challenge, domain, documentLoader }) };
  },
  async verify(request) {
    const suite = verifying(request);
    return verdict(await vc.verifyCredential({ credential: request.document, suite, documentLoader, checkStatus }));
  },
  async verify_presentation(request) {
    const { document, challenge, domain } = request;
    const suite = verifying(request);
    return verdict(await vc.verify({ presentation: document, challenge, domain, suite, documentLoader, checkStatus }));
  },
  async canonize(request) {
    return { nquads: await rdfc.canonize(request.document, { documentLoader, maxWorkFactor: 3 }) };
  },
  async measure(request) {
    const operation = operations[request.what.op];
    const repeat = () => operation(structuredClone(request.what));
    for (let i = 0; i < request.count / 10; i++) await repeat();
    const start = process.cpuUsage();
    for (let i = 0; i < request.count; i++) await repeat();
    const used = process.cpuUsage(start);
    return { cpu_s: (used.user + used.system) / 1e6 };
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
