export type { Action, Event, Held, Status } from "./actions.js";
export { Client } from "./client.js";
export type { Change, ClientOptions, SocketLike, StateOf } from "./client.js";
export { Core, INTERVAL_MS, SUBPROTOCOL } from "./core.js";
export type { CoreOptions } from "./core.js";
export type * as messages from "./messages.js";
export { merged } from "./patch.js";
