// Compiles contracts/*.sol and writes {name: {abi, bytecode}} to stdout.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const folder = path.join(__dirname, "contracts");
const sources = Object.fromEntries(
  fs.readdirSync(folder).map((name) => [name, { content: fs.readFileSync(path.join(folder, name), "utf8") }]),
);
const output = JSON.parse(
  solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources,
      settings: {
        optimizer: { enabled: true, runs: 200 },
        outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
      },
    }),
  ),
);
const faults = (output.errors || []).filter((one) => one.severity === "error");
if (faults.length > 0) {
  process.stderr.write(faults.map((one) => one.formattedMessage).join("\n"));
  process.exit(1);
}
const contracts = {};
for (const file of Object.values(output.contracts)) {
  for (const [name, one] of Object.entries(file)) {
    contracts[name] = { abi: one.abi, bytecode: "0x" + one.evm.bytecode.object };
  }
}
process.stdout.write(JSON.stringify(contracts));
