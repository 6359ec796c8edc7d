export { Client } from "./client.js";
export { Core, INTERVAL_MS, SUBPROTOCOL } from "./core.js";
export { merged } from "./patch.js";
