// Asks vendors' own JavaScript libraries: JSON lines in, JSON lines out. README.md beside this file has the protocol.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";

import { modules, oracles } from "./vendors.mjs";

// The libraries' clock: the moment that the request names.
let clock = 0;
const Wall = globalThis.Date;
globalThis.Date = class Date extends Wall {
  constructor(...args) {
    super(...(args.length === 0 ? [clock * 1000] : args));
  }
  static now() {
    return clock * 1000;
  }
};

/** Every oracle with the library behind it. */
function listed() {
  return Object.entries(oracles).map(([oracle, { package: name, sign, keys }]) => {
    const version = name.startsWith("node:")
      ? process.versions.node
      : JSON.parse(fs.readFileSync(path.join(modules, name, "package.json"), "utf8")).version;
    return { oracle, library: name, version, signs: sign !== undefined, keys: keys !== undefined };
  });
}

async function answer(message) {
  if (message.op === "list") return { oracles: listed() };
  const oracle = oracles[message.oracle];
  if (message.op === "keys") return oracle.keys();
  const request = { headers: {}, ...message, body: Buffer.from(message.body_base64 ?? "", "base64") };
  clock = request.now;
  if (message.op === "sign") return oracle.sign(request);
  if (message.op === "verify") return { ok: (await oracle.verify(request)) === true };
  throw new Error(`no such op: ${message.op}`);
}

// What libraries print would break the protocol.
console.log = console.info = console.debug = console.warn = console.error;

for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  let reply;
  try {
    reply = await answer(JSON.parse(line));
  } catch (error) {
    // Well-formed: the cut may part a pair of surrogates.
    reply = { error: `${error?.name}: ${error?.message}`.slice(0, 300).toWellFormed() };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
