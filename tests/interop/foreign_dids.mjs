// DIDs as an agent elsewhere would make and read them, written from the specifications alone: did:key, did:peer:2 and
// did:web with keys on Curve25519. What comes out has the form that didcomm-node reads: JsonWebKey2020, absolute ids,
// one endpoint for each service.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const PREFIXES = { Ed25519: Buffer.from([0xed, 0x01]), X25519: Buffer.from([0xec, 0x01]) };
const PKCS8 = { Ed25519: "302e020100300506032b657004220420", X25519: "302e020100300506032b656e04220420" };
const P = 2n ** 255n - 19n;

function base58(bytes) {
  let number = BigInt("0x" + (bytes.toString("hex") || "0"));
  let text = "";
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  for (const byte of bytes) {
    if (byte !== 0) break;
    text = "1" + text;
  }
  return text;
}

function fromBase58(text) {
  let number = 0n;
  for (const letter of text) number = number * 58n + BigInt(ALPHABET.indexOf(letter));
  const digits = number.toString(16);
  return Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
}

function multikey(curve, bytes) {
  return "z" + base58(Buffer.concat([PREFIXES[curve], bytes]));
}

function fromMultikey(text) {
  const bytes = fromBase58(text.slice(1));
  const curve = Object.keys(PREFIXES).find((name) => bytes.subarray(0, 2).equals(PREFIXES[name]));
  if (text[0] !== "z" || curve === undefined) throw new Error(`not a key on Curve25519: ${text}`);
  return { kty: "OKP", crv: curve, x: bytes.subarray(2).toString("base64url") };
}

// The X25519 key that belongs to an Ed25519 key (did:key v0.9): the same point on the other form of the curve.
function agreementKeyOf(x) {
  const bytes = Buffer.from(x, "base64url").reverse();
  bytes[0] &= 0x7f;
  const y = BigInt("0x" + bytes.toString("hex"));
  const u = ((1n + y) * power(P + 1n - y, P - 2n)) % P;
  return Buffer.from(u.toString(16).padStart(64, "0"), "hex").reverse();
}

function power(base, exponent) {
  let result = 1n;
  for (base %= P; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % P;
    base = (base * base) % P;
  }
  return result;
}

function agreementSecretOf(d) {
  const half = createHash("sha512").update(Buffer.from(d, "base64url")).digest().subarray(0, 32);
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from(PKCS8.X25519, "hex"), half]), format: "der", type: "pkcs8",
  });
  return { ...createPublicKey(key).export({ format: "jwk" }), d: half.toString("base64url") };
}

// Two keys: to sign and to agree. With `related` the second follows from the first, as a did:key wants it.
export function makeKeys({ related = false } = {}) {
  const sign = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
  if (related) return { sign, agree: agreementSecretOf(sign.d) };
  return { sign, agree: generateKeyPairSync("x25519").privateKey.export({ format: "jwk" }) };
}

const publicOf = ({ d, ...jwk }) => jwk;
const keyText = (jwk) => multikey(jwk.crv, Buffer.from(jwk.x, "base64url"));

export function makeDidKey(keys) {
  return `did:key:${keyText(keys.sign)}`;
}

// The key to agree with comes first here, so that its id is `#key-1`.
export function makeDidPeer(keys, { uri, routingKeys = [] }) {
  const service = { t: "dm", s: { uri, a: ["didcomm/v2"], ...(routingKeys.length ? { r: routingKeys } : {}) } };
  const encoded = Buffer.from(JSON.stringify(service)).toString("base64url");
  return `did:peer:2.E${keyText(keys.agree)}.V${keyText(keys.sign)}.S${encoded}`;
}

export function makeDidWebDocument(did, keys, uri) {
  const method = (id, jwk) => ({ id, type: "JsonWebKey2020", controller: did, publicKeyJwk: publicOf(jwk) });
  return {
    "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
    id: did,
    verificationMethod: [method("#sign", keys.sign), method("#agree", keys.agree)],
    authentication: ["#sign"],
    keyAgreement: ["#agree"],
    service: [{ id: "#dm", type: "DIDCommMessaging", serviceEndpoint: [{ uri, accept: ["didcomm/v2"] }] }],
  };
}

export function secretsOf(document, keys) {
  return document.verificationMethod.map((method) => {
    const secret = [keys.sign, keys.agree].find((jwk) => jwk.x === method.publicKeyJwk.x);
    return { id: method.id, type: "JsonWebKey2020", privateKeyJwk: secret };
  });
}

export async function resolve(did) {
  if (did.startsWith("did:key:")) return readDocument(keyDocument(did));
  if (did.startsWith("did:peer:2.")) return readDocument(peerDocument(did));
  if (did.startsWith("did:web:")) return readDocument(await webDocument(did));
  return null;
}

function keyDocument(did) {
  const text = did.slice("did:key:".length);
  const agree = multikey("X25519", agreementKeyOf(fromMultikey(text).x));
  return {
    id: did,
    verificationMethod: [text, agree].map((key) => ({ id: `${did}#${key}`, controller: did, publicKeyMultibase: key })),
    authentication: [`${did}#${text}`],
    keyAgreement: [`${did}#${agree}`],
    service: [],
  };
}

function peerDocument(did) {
  const document = { id: did, verificationMethod: [], authentication: [], keyAgreement: [], service: [] };
  for (const element of did.split(".").slice(1)) {
    const [purpose, text] = [element[0], element.slice(1)];
    if (purpose === "S") {
      document.service.push(readAbbreviated(JSON.parse(Buffer.from(text, "base64url")), document.service.length));
    } else {
      const id = `#key-${document.verificationMethod.length + 1}`;
      document.verificationMethod.push({ id, controller: did, publicKeyMultibase: text });
      if (purpose === "V") document.authentication.push(id);
      if (purpose === "E") document.keyAgreement.push(id);
    }
  }
  return document;
}

function readAbbreviated(service, index) {
  const long = (endpoint) => ({
    uri: endpoint.uri, accept: endpoint.a ?? endpoint.accept, routingKeys: endpoint.r ?? endpoint.routingKeys,
  });
  return {
    id: service.id ?? (index ? `#service-${index}` : "#service"),
    type: service.t === "dm" ? "DIDCommMessaging" : service.t,
    serviceEndpoint: [service.s].flat().map(long),
  };
}

async function webDocument(did) {
  const [host, ...path] = did.slice("did:web:".length).split(":").map(decodeURIComponent);
  const scheme = ["localhost", "127.0.0.1"].includes(host.split(":")[0]) ? "http" : "https";
  const place = [...(path.length ? path : [".well-known"]), "did.json"].join("/");
  const response = await fetch(`${scheme}://${host}/${place}`);
  if (!response.ok) throw new Error(`${did}: status ${response.status}`);
  return response.json();
}

// Any document in the form that didcomm-node reads. Endpoints that are no URLs of HTTP are left out: it has no libp2p.
export function readDocument(document) {
  const absolute = (id) => (id.startsWith("#") ? document.id + id : id);
  const methods = document.verificationMethod.map((method) => ({
    id: absolute(method.id),
    type: "JsonWebKey2020",
    controller: method.controller,
    publicKeyJwk: method.publicKeyJwk ?? fromMultikey(method.publicKeyMultibase),
  }));
  const services = [];
  for (const { id, type, serviceEndpoint } of document.service ?? []) {
    for (const { uri, accept = ["didcomm/v2"], routingKeys = [] } of [serviceEndpoint].flat()) {
      if (type !== "DIDCommMessaging" || !/^https?:/.test(uri) || !accept.includes("didcomm/v2")) continue;
      services.push({ id: `${absolute(id)}-${services.length}`, type, serviceEndpoint: { uri, accept, routingKeys } });
    }
  }
  return {
    id: document.id,
    verificationMethod: methods,
    authentication: document.authentication.map(absolute),
    keyAgreement: document.keyAgreement.map(absolute),
    service: services,
  };
}
