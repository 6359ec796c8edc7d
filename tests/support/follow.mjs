// A program that follows keys with the published client, and says on stdout what came, a line of JSON each.
import { createRequire } from "node:module";

const [, , module, url, wanted] = process.argv;
const { Client } = await import(module);
// Node has a WebSocket of its own from 22 on.
const WebSocket = globalThis.WebSocket ?? createRequire(new URL("../../clients/typescript/", import.meta.url))("ws");

const say = (said) => process.stdout.write(`${JSON.stringify(said)}\n`);
const client = new Client(url, {
  WebSocket,
  onMessage: ({ type }) => say({ came: type }),
  onGap: (channel, key) => say({ gap: [channel, key] }),
});
for (const [channel, keys] of Object.entries(JSON.parse(wanted)))
  for (const key of keys)
    client.subscribe(channel, key, ({ data, epoch, seq }) => say({ channel, key, epoch, seq, data }), { intervalMs: 0 });
client.start();
