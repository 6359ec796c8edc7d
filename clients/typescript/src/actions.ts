// What the core wants done: three things for whoever holds the socket, and events for whoever uses the client.

import type { Channel, Error as ServerError, ServerMessage } from "./messages.js";
import type { Json } from "./patch.js";

/** What stands of a key: the state that was last sent, or patched together, and what tells it from others. */
export type Held = { readonly epoch: number; readonly seq: readonly number[]; readonly data: Json };

/** What became of the connection; `ended` is for good: coming back would end the same. */
export type Status = {
  readonly do: "status";
  readonly name: "connecting" | "live" | "waiting" | "ended";
  readonly reason: string;
  /** The close code, where there was one. */
  readonly code: number | null;
  /** How long it waits before it connects again. */
  readonly retryInMs: number;
};

export type Event =
  /** A message of the server as it came, before anything is made of it. */
  | { readonly do: "heard"; readonly message: ServerMessage }
  /** A key has a new state; `patch` is what changed in it, null where the whole of it came. */
  | {
      readonly do: "changed";
      readonly channel: Channel;
      readonly key: string;
      readonly held: Held;
      readonly patch: Json | null;
    }
  /** A delta did not follow from what is held: something was lost, and all of it was asked for again. */
  | { readonly do: "gap"; readonly channel: Channel; readonly key: string }
  /** The server refuses some keys, and nothing more will come of them on this connection. */
  | { readonly do: "refused"; readonly channel: Channel; readonly keys: readonly string[]; readonly error: ServerError }
  | Status;

export type Action =
  /** Open a socket, and say `receive` or `lost` of what becomes of it. */
  | { readonly do: "connect" }
  | { readonly do: "send"; readonly text: string }
  /** Close the socket with 1000; nothing that still comes of it is handed to the core. */
  | { readonly do: "disconnect" }
  | Event;
