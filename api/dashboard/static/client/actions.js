// What the core wants done: three things for whoever holds the socket, and events for whoever uses the client.
export {};
