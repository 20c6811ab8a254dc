// Compiles the contracts of this folder, and writes the artifact, or with --check fails
// unless the artifact is what they compile to.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const artifact = file("artifact.json");
const contracts = ["FullRelay", "FullRelayWithVerify", "LightRelay", "Multicall"];

const sources = {};
for (const name of readdirSync(file(".")).filter((name) => name.endsWith(".sol")).sort()) {
  sources[name] = { content: readFileSync(file(name), "utf8") };
}
const settings = {
  optimizer: { enabled: true, runs: 5000 },
  evmVersion: "cancun",
  // The same bytes whatever a comment says.
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"] } },
};
const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
for (const e of output.errors ?? []) console.error(e.formattedMessage);
if ((output.errors ?? []).length > 0) process.exit(1);

const compiled = { solc: solc.version(), sources: {}, contracts: {} };
for (const [name, { content }] of Object.entries(sources)) {
  compiled.sources[name] = createHash("sha256").update(content).digest("hex");
}
for (const name of contracts) {
  const { abi, evm, storageLayout } = output.contracts[`${name}.sol`][name];
  compiled.contracts[name] = {
    abi,
    storage: storageLayout.storage.map(({ label, slot, offset }) => ({ label, slot: Number(slot), offset })),
    creation: evm.bytecode.object,
    runtime: evm.deployedBytecode.object,
  };
}
const text = JSON.stringify(compiled, null, 1) + "\n";
if (process.argv.includes("--check")) {
  if (readFileSync(artifact, "utf8") !== text) {
    console.error("artifact.json is stale: run make contracts, and commit it");
    process.exit(1);
  }
} else {
  writeFileSync(artifact, text);
}
