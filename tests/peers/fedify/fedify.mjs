// A registry made with Fedify, for the tests: it signs, verifies and reads as that library does.
// Prints {"url": …} once it listens. Then, as JSON over HTTP:
//   GET  /actor                          its actor, with its key
//   POST /inbox                          202 if the request's signature holds, 401 if not; says by which key
//   POST /sign   {url, body}             headers of a request, signed (RFC 9421)
//   POST /read   {type, document}        the document as the library understands it
//   POST /expand {document}              the document with the meaning of each word (JSON-LD 1.1, expanded)
// Its process ends when its standard input does.
import http from "node:http";
import * as fedify from "@fedify/fedify";
import jsonld from "jsonld";

const keys = await fedify.generateCryptoKeyPair("RSASSA-PKCS1-v1_5");
const preloaded = fedify.getDocumentLoader();

// Contexts that everybody knows come with the library; whatever else a document names is asked for on this machine.
async function load(url) {
  try {
    return await preloaded(url);
  } catch (refused) {
    if (new URL(url).hostname !== "127.0.0.1" && new URL(url).hostname !== "localhost") throw refused;
    const answer = await fetch(url, { headers: { accept: "application/activity+json" } });
    return { documentUrl: url, contextUrl: null, document: await answer.json() };
  }
}

const loaders = { documentLoader: load, contextLoader: load };

async function actor(origin) {
  const id = new URL(`${origin}/actor`);
  const key = new fedify.CryptographicKey({ id: new URL("#main-key", id), owner: id, publicKey: keys.publicKey });
  const it = new fedify.Service({ id, inbox: new URL(`${origin}/inbox`), preferredUsername: "fedify", publicKey: key });
  return await it.toJsonLd({ contextLoader: load });
}

async function sign(origin, { url, body }) {
  const request = new Request(url, { method: "POST", headers: { "content-type": "application/activity+json" }, body });
  const signed = await fedify.signRequest(request, keys.privateKey, new URL(`${origin}/actor#main-key`), {
    spec: "rfc9421",
  });
  return Object.fromEntries(signed.headers);
}

async function read({ type, document }) {
  const it = await fedify[type].fromJsonLd(document, loaders);
  const facts = { id: String(it.id), type: it.constructor.name, name: it.name ? String(it.name) : null };
  if (it instanceof fedify.Application) {
    const key = await it.getPublicKey(loaders);
    facts.inbox = String(it.inboxId);
    facts.outbox = String(it.outboxId);
    facts.sharedInbox = String(it.endpoints?.sharedInbox);
    facts.username = String(it.preferredUsername);
    facts.key = { id: String(key.id), owner: String(key.ownerId), algorithm: key.publicKey?.algorithm?.name };
  } else if (it instanceof fedify.OrderedCollectionPage || it instanceof fedify.OrderedCollection) {
    facts.total = it.totalItems;
    facts.first = it.firstId ? String(it.firstId) : null;
    facts.partOf = it.partOfId ? String(it.partOfId) : null;
    facts.items = [];
    for await (const item of it.getItems(loaders)) facts.items.push([item.constructor.name, String(item.id)]);
  } else if (it instanceof fedify.Activity) {
    const object = await it.getObject(loaders);
    facts.actor = String(it.actorId);
    facts.to = it.toIds.map(String);
    facts.object = { id: String(object.id), type: object.constructor.name };
  } else if (it instanceof fedify.Tombstone) {
    facts.deleted = String(it.deleted);
  } else {
    facts.content = String(it.content);
    facts.attributedTo = it.attributionIds.map(String);
    facts.published = String(it.published);
    facts.to = it.toIds.map(String);
    facts.urls = it.urls.map((each) => [String(each.href), each.mediaType]);
  }
  return facts;
}

async function verified(request, body) {
  const whole = new Request(`http://${request.headers.host}${request.url}`, {
    method: request.method,
    headers: request.headers,
    body,
  });
  const key = await fedify.verifyRequest(whole, loaders);
  return key ? { status: 202, said: { key: String(key.id) } } : { status: 401, said: { detail: "not signed" } };
}

const server = http.createServer(async (request, response) => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  let answer;
  try {
    if (request.url === "/actor") answer = { status: 200, said: await actor(origin) };
    else if (request.url === "/inbox") answer = await verified(request, body);
    else if (request.url === "/sign") answer = { status: 200, said: await sign(origin, JSON.parse(body)) };
    else if (request.url === "/read") answer = { status: 200, said: await read(JSON.parse(body)) };
    else if (request.url === "/expand")
      answer = { status: 200, said: await jsonld.expand(JSON.parse(body).document, { documentLoader: load }) };
    else answer = { status: 404, said: {} };
  } catch (error) {
    answer = { status: 422, said: { detail: String(error?.stack ?? error).slice(0, 2000) } };
  }
  response.writeHead(answer.status, { "content-type": "application/activity+json" });
  response.end(JSON.stringify(answer.said));
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
