// The vendors' own JavaScript libraries, each asked in its own way: `verify`, perhaps `sign`, and `keys` for key pairs.

import crypto from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";
import querystring from "node:querystring";
import { pathToFileURL } from "node:url";

const root = path.resolve(process.env.HOOKGATE_ORACLES ?? ".");
const library = createRequire(path.join(root, "package.json"));
export const modules = path.join(root, "node_modules");

/** Runs `check`: an error that `refusal` knows means no, another one is trouble. */
async function accepts(refusal, check) {
  try {
    await check();
    return true;
  } catch (error) {
    if (refusal(error)) return false;
    throw error;
  }
}

const text = (request) => request.body.toString("utf8");
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_ED25519 = Buffer.from("302a300506032b6570032100", "hex");

/** An Ed25519 key pair, each half as its 32 bytes, which `write` turns into the vendor's notation. */
function ed25519(write, writePrivate = write) {
  const { publicKey, privateKey } = crypto.generateKeyPairSync("ed25519");
  const raw = (key, type) => key.export({ type, format: "der" }).subarray(-32);
  return { signing: writePrivate(raw(privateKey, "pkcs8")), verifying: write(raw(publicKey, "spki")) };
}

/** Signs with Node's own crypto, since vendors publish nothing that signs with a private key. */
function signEd25519(seed, ...parts) {
  const key = crypto.createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), type: "pkcs8", format: "der" });
  return crypto.sign(null, Buffer.concat(parts.map((part) => Buffer.from(part))), key);
}

const hubspot = (version) => ({
  package: "@hubspot/api-client",
  options(request) {
    const options = { clientSecret: request.secret, requestBody: text(request), url: request.url };
    if (version === "v3") options.timestamp = Number(request.headers["x-hubspot-request-timestamp"]);
    return options;
  },
  sign(request) {
    const { Signature } = library("@hubspot/api-client");
    const timestamp = request.now * 1000;
    const options = { ...this.options(request), ...(version === "v3" && { timestamp }) };
    const signature = Signature.getSignature(request.method, version, options);
    return version === "v3"
      ? { headers: { "x-hubspot-request-timestamp": String(timestamp), "x-hubspot-signature-v3": signature } }
      : { headers: { "x-hubspot-signature-version": version, "x-hubspot-signature": signature } };
  },
  verify(request) {
    const { Signature } = library("@hubspot/api-client");
    const signature = request.headers[version === "v3" ? "x-hubspot-signature-v3" : "x-hubspot-signature"];
    const options = { ...this.options(request), method: request.method, signatureVersion: version, signature };
    return accepts((error) => /Timestamp is invalid/.test(error.message), () => {
      if (!Signature.isValid(options)) throw new Error("Timestamp is invalid, or the signature");
    });
  },
});

export const oracles = {
  "standardwebhooks-js": {
    package: "standardwebhooks",
    sign(request) {
      const { Webhook } = library("standardwebhooks");
      const signature = new Webhook(request.secret).sign(request.headers["webhook-id"], new Date(), text(request));
      return { headers: { "webhook-timestamp": String(request.now), "webhook-signature": signature } };
    },
    verify(request) {
      const { Webhook, WebhookVerificationError } = library("standardwebhooks");
      const check = () => new Webhook(request.secret).verify(text(request), request.headers, { jsonParse: false });
      return accepts((error) => error instanceof WebhookVerificationError, check);
    },
  },

  // No library verifies `v1a`: Node's own Ed25519 stands for one.
  "standard-webhooks-ed25519": {
    package: "node:crypto",
    keys: () => ed25519((raw) => `whpk_${raw.toString("base64")}`, (raw) => `whsk_${raw.toString("base64")}`),
    sign(request) {
      const timestamp = String(request.now);
      const seed = Buffer.from(request.secret.replace("whsk_", ""), "base64");
      const signature = signEd25519(seed, `${request.headers["webhook-id"]}.${timestamp}.`, request.body);
      const value = `v1a,${signature.toString("base64")}`;
      return { headers: { "webhook-timestamp": timestamp, "webhook-signature": value } };
    },
    verify({ secret, headers, body }) {
      const spki = Buffer.concat([SPKI_ED25519, Buffer.from(secret.replace("whpk_", ""), "base64")]);
      const key = crypto.createPublicKey({ key: spki, type: "spki", format: "der" });
      const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
      const [version, value] = headers["webhook-signature"].split(",");
      return version === "v1a" && crypto.verify(null, signed, key, Buffer.from(value, "base64"));
    },
  },

  github: {
    package: "@octokit/webhooks-methods",
    methods: () => import(pathToFileURL(path.join(modules, "@octokit/webhooks-methods/dist-node/index.js")).href),
    async sign(request) {
      const { sign } = await this.methods();
      return { headers: { "x-hub-signature-256": await sign(request.secret, text(request)) } };
    },
    async verify(request) {
      const { verify } = await this.methods();
      return verify(request.secret, text(request), request.headers["x-hub-signature-256"]);
    },
  },

  sendgrid: {
    package: "@sendgrid/eventwebhook",
    keys() {
      const { publicKey, privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
      const written = (key, type) => key.export({ type, format: "der" }).toString("base64");
      return { signing: written(privateKey, "pkcs8"), verifying: written(publicKey, "spki") };
    },
    sign(request) {
      const timestamp = String(request.now);
      const key = crypto.createPrivateKey({ key: Buffer.from(request.secret, "base64"), type: "pkcs8", format: "der" });
      const signed = Buffer.concat([Buffer.from(timestamp), request.body]);
      const signature = crypto.sign("sha256", signed, key).toString("base64");
      const prefix = "x-twilio-email-event-webhook";
      return { headers: { [`${prefix}-signature`]: signature, [`${prefix}-timestamp`]: timestamp } };
    },
    verify(request) {
      const { EventWebhook } = library("@sendgrid/eventwebhook");
      const webhook = new EventWebhook();
      const [signature, timestamp] = ["signature", "timestamp"].map(
        (end) => request.headers[`x-twilio-email-event-webhook-${end}`],
      );
      return webhook.verifySignature(webhook.convertPublicKeyToECDSA(request.secret), request.body, signature, timestamp);
    },
  },

  discord: {
    package: "discord-interactions",
    keys: () => ed25519((raw) => raw.toString("hex")),
    sign(request) {
      const timestamp = String(request.now);
      const signature = signEd25519(Buffer.from(request.secret, "hex"), timestamp, request.body).toString("hex");
      return { headers: { "x-signature-timestamp": timestamp, "x-signature-ed25519": signature } };
    },
    verify({ secret, headers, body }) {
      const { verifyKey } = library("discord-interactions");
      return verifyKey(body, headers["x-signature-ed25519"], headers["x-signature-timestamp"], secret);
    },
  },

  line: {
    package: "@line/bot-sdk",
    async verify(request) {
      const { validateSignature } = library("@line/bot-sdk");
      return validateSignature(request.body, request.secret, request.headers["x-line-signature"]);
    },
  },

  shopify: {
    package: "@shopify/shopify-api",
    async verify(request) {
      library("@shopify/shopify-api/adapters/node");
      const { shopifyApi, ApiVersion } = library("@shopify/shopify-api");
      const shopify = shopifyApi({
        apiKey: "key",
        apiSecretKey: request.secret,
        apiVersion: Object.values(ApiVersion)[0],
        hostName: "hooks.example.com",
        isEmbeddedApp: false,
        logger: { level: -1, log() {} },
      });
      const rawRequest = { method: request.method, url: request.url, headers: request.headers };
      const { valid } = await shopify.webhooks.validate({ rawBody: text(request), rawRequest, rawResponse: {} });
      return valid;
    },
  },

  "hubspot-v1": hubspot("v1"),
  "hubspot-v2": hubspot("v2"),
  "hubspot-v3": hubspot("v3"),

  paddle: {
    package: "@paddle/paddle-node-sdk",
    verify(request) {
      const { Paddle } = library("@paddle/paddle-node-sdk");
      this.client ??= new Paddle("key", { logLevel: "none" });
      const header = request.headers["paddle-signature"];
      return this.client.webhooks.isSignatureValid(text(request), request.secret, header);
    },
  },

  openai: {
    package: "openai",
    verify(request) {
      const { OpenAI, InvalidWebhookSignatureError } = library("openai");
      this.client ??= new OpenAI({ apiKey: "key" });
      const check = () => this.client.webhooks.verifySignature(text(request), request.headers, request.secret);
      return accepts((error) => error instanceof InvalidWebhookSignatureError, check);
    },
  },

  // The library takes the parsed body, and signs JSON.stringify of it.
  workos: {
    package: "@workos-inc/node",
    webhooks() {
      const { WorkOS } = library("@workos-inc/node");
      this.client ??= new WorkOS("key");
      return this.client.webhooks;
    },
    async sign(request) {
      const timestamp = request.now * 1000;
      const signature = await this.webhooks().computeSignature(timestamp, JSON.parse(text(request)), request.secret);
      return { headers: { "workos-signature": `t=${timestamp}, v1=${signature}` } };
    },
    verify(request) {
      const { SignatureVerificationException } = library("@workos-inc/node");
      const { secret, headers } = request;
      const options = { payload: JSON.parse(text(request)), sigHeader: headers["workos-signature"], secret };
      const refusal = (error) => error instanceof SignatureVerificationException;
      return accepts(refusal, () => this.webhooks().verifyHeader(options));
    },
  },

  linear: {
    package: "@linear/sdk",
    verify(request) {
      const { LinearWebhookClient } = library("@linear/sdk/webhooks");
      const client = new LinearWebhookClient(request.secret);
      const refusal = (error) => /Invalid webhook (signature|timestamp)/.test(error.message);
      return accepts(refusal, () => {
        if (!client.verify(request.body, request.headers["linear-signature"])) {
          throw new Error("Invalid webhook signature");
        }
      });
    },
  },

  notion: {
    package: "@notionhq/client",
    async sign(request) {
      const { signWebhookPayload } = library("@notionhq/client");
      const signature = await signWebhookPayload({ body: request.body, verificationToken: request.secret });
      return { headers: { "x-notion-signature": signature } };
    },
    verify(request) {
      const { verifyWebhookSignature } = library("@notionhq/client");
      const signature = request.headers["x-notion-signature"];
      return verifyWebhookSignature({ body: request.body, signature, verificationToken: request.secret });
    },
  },

  // The library takes the parsed body, and signs JSON.stringify of it.
  crisp: {
    package: "crisp-api",
    verify({ secret, headers, body }) {
      const { Crisp } = library("crisp-api");
      this.client ??= Object.assign(new Crisp(), { _loopback: {} }); // as after binding to web hooks
      const parsed = JSON.parse(body.toString("utf8"));
      return this.client.verifyHook(
        secret,
        parsed,
        headers["x-crisp-request-timestamp"],
        headers["x-crisp-signature"],
      );
    },
  },

  mux: {
    package: "@mux/mux-node",
    verify(request) {
      const { Mux } = library("@mux/mux-node");
      this.client ??= new Mux({ tokenId: "id", tokenSecret: "secret" });
      const check = () => this.client.webhooks.verifySignature(text(request), request.headers, request.secret);
      return accepts((error) => /signature|timestamp/i.test(error.message), check);
    },
  },

  telnyx: {
    package: "telnyx",
    keys: () => ed25519((raw) => raw.toString("base64")),
    sign(request) {
      const timestamp = String(request.now);
      const seed = Buffer.from(request.secret, "base64");
      const signature = signEd25519(seed, `${timestamp}|`, request.body).toString("base64");
      return { headers: { "telnyx-timestamp": timestamp, "telnyx-signature-ed25519": signature } };
    },
    verify(request) {
      const { TelnyxWebhook, TelnyxWebhookVerificationError } = library("telnyx/lib/webhooks");
      const check = () => new TelnyxWebhook(request.secret).verify(text(request), request.headers);
      return accepts((error) => error instanceof TelnyxWebhookVerificationError, check);
    },
  },

  sanity: {
    package: "@sanity/webhook",
    async sign(request) {
      const { encodeSignatureHeader } = library("@sanity/webhook");
      const value = await encodeSignatureHeader(text(request), request.now * 1000, request.secret);
      return { headers: { "sanity-webhook-signature": value } };
    },
    verify(request) {
      const { isValidSignature } = library("@sanity/webhook");
      return isValidSignature(text(request), request.headers["sanity-webhook-signature"], request.secret);
    },
  },

  webflow: {
    package: "webflow-api",
    verify(request) {
      const { WebflowClient } = library("webflow-api");
      this.client ??= new WebflowClient({ accessToken: "token" });
      const { headers, secret } = request;
      return this.client.webhooks.verifySignature({ headers, body: text(request), secret });
    },
  },

  contentful: {
    package: "@contentful/node-apps-toolkit",
    canonical({ url, method, headers, body }) {
      const { pathname, search } = new URL(url);
      return { method, path: pathname + search, headers, body: body.toString("utf8") };
    },
    sign(request) {
      const { signRequest } = library("@contentful/node-apps-toolkit");
      return { headers: signRequest(request.secret, this.canonical(request), request.now * 1000) };
    },
    verify(request) {
      const { verifyRequest, ExpiredRequestException } = library("@contentful/node-apps-toolkit");
      const check = () => {
        if (!verifyRequest(request.secret, this.canonical(request))) throw new ExpiredRequestException(30);
      };
      return accepts((error) => error instanceof ExpiredRequestException, check);
    },
  },

  "twilio-js": {
    package: "twilio",
    fields: ({ body }) => ({ ...querystring.parse(body.toString("latin1")) }),
    sign(request) {
      const { getExpectedTwilioSignature } = library("twilio");
      const signature = getExpectedTwilioSignature(request.secret, request.url, this.fields(request));
      return { headers: { "x-twilio-signature": signature } };
    },
    verify(request) {
      const { validateRequest } = library("twilio");
      return validateRequest(request.secret, request.headers["x-twilio-signature"], request.url, this.fields(request));
    },
  },

  pusher: {
    package: "pusher",
    verify({ secret, headers, body }) {
      const Pusher = library("pusher");
      const pusher = new Pusher({ appId: "1", key: "pusher_key", secret, host: "localhost" });
      return pusher.webhook({ headers, rawBody: body.toString("utf8") }).isValid();
    },
  },

  hook0: {
    package: "hook0-client",
    verify(request) {
      const { verifyWebhookSignature, Hook0ClientError } = library("hook0-client");
      const [header, headers] = [request.headers["x-hook0-signature"], new Headers(request.headers)];
      const check = () => verifyWebhookSignature(header, request.body, headers, request.secret, 300);
      return accepts((error) => error instanceof Hook0ClientError, check);
    },
  },

  "coinbase-commerce": {
    package: "coinbase-commerce-node",
    sign(request) {
      const { Webhook } = library("coinbase-commerce-node");
      return { headers: { "x-cc-webhook-signature": Webhook.computeSignature(text(request), request.secret) } };
    },
    verify(request) {
      const { Webhook } = library("coinbase-commerce-node");
      const check = () => Webhook.verifySigHeader(text(request), request.headers["x-cc-webhook-signature"], request.secret);
      return accepts((error) => error.name === "SignatureVerificationError", check);
    },
  },

  "messagebird-jwt": {
    package: "messagebird",
    // The library only verifies: Node's own HMAC signs a token with the claims that it describes.
    sign({ secret, url, body, now }) {
      const hash = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
      const claims = { iss: "MessageBird", iat: now, nbf: now, exp: now + 60, jti: crypto.randomUUID(), url_hash: hash(url) };
      if (body.length > 0) claims.payload_hash = hash(body);
      const parts = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
      const signature = crypto.createHmac("sha256", secret).update(parts.join(".")).digest("base64url");
      return { headers: { "messagebird-signature-jwt": [...parts, signature].join(".") } };
    },
    verify({ secret, url, body, headers }) {
      const { verify } = library("messagebird/lib/webhook-signature-jwt");
      const key = crypto.createSecretKey(Buffer.from(secret));
      const check = () => verify(url, body, headers["messagebird-signature-jwt"], key);
      return accepts((error) => /^invalid signature/.test(error.message), check);
    },
  },
};
