// A Helia node on loopback that knows nobody: one JSON request on each line of stdin, one JSON answer on each line of stdout.
//
// {"op": "address"}            -> {"address"}: where it can be dialled, with its peer ID
// {"op": "dial", "address"}    connects to a node
// {"op": "add", "content"}     -> {"cid"}: a file, of base64 bytes, in chunks of 1 MiB
// {"op": "cat", "cid"}         -> {"content"}: a file's bytes in base64, by bitswap from whoever is connected
// {"op": "get", "cid"}         -> {"content"}: one block
// A failure is answered with {"error": text}.

import { createInterface } from "node:readline";
import { withBitswap } from "@helia/bitswap";
import { withLibp2pLight } from "@helia/libp2p";
import { unixfs } from "@helia/unixfs";
import { identify } from "@libp2p/identify";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createHeliaLight } from "helia";
import { CID } from "multiformats/cid";

const PATIENCE_MS = 30_000;

const helia = withBitswap(
  withLibp2pLight(createHeliaLight(), {
    addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  }),
);
await helia.start();
const files = unixfs(helia);

async function joined(parts) {
  const all = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all).toString("base64");
}

const operations = {
  async address() {
    return { address: String(helia.libp2p.getMultiaddrs()[0]) };
  },
  async dial(request) {
    await helia.libp2p.dial(multiaddr(request.address), { signal: AbortSignal.timeout(PATIENCE_MS) });
    return {};
  },
  async add(request) {
    return { cid: String(await files.addBytes(Buffer.from(request.content, "base64"))) };
  },
  async cat(request) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    return { content: await joined(files.cat(CID.parse(request.cid), { signal })) };
  },
  async get(request) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    return { content: await joined(helia.blockstore.get(CID.parse(request.cid), { signal })) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = await operations[request.op](request);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await helia.stop();
