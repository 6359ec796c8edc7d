// Cores of the published client, driven by lines of JSON on stdin: [number, method, arguments].
import readline from "node:readline";

const { Core } = await import(process.argv[2]);
const cores = new Map();
const tokens = new Map();

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [number, method, parameters] = JSON.parse(line);
  if (!cores.has(number)) cores.set(number, new Core({ spread: () => 1, token: () => tokens.get(number) ?? null }));
  const core = cores.get(number);
  if (method === "useToken") tokens.set(number, parameters[0]);
  const result = method === "useToken" ? null : (core[method](...parameters) ?? null);
  const { isSettled, wakeMs } = core;
  process.stdout.write(`${JSON.stringify({ result, isSettled, wakeMs })}\n`);
}
