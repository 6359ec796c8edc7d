// Cores of the published client, driven by lines of JSON on stdin: [number, method, arguments].
import readline from "node:readline";

const { Core } = await import(process.argv[2]);
const cores = new Map();

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [number, method, parameters] = JSON.parse(line);
  if (!cores.has(number)) cores.set(number, new Core({ spread: () => 0 }));
  const core = cores.get(number);
  const result = core[method](...parameters) ?? null;
  process.stdout.write(`${JSON.stringify({ result, isSettled: core.isSettled })}\n`);
}
